package main

import (
	"strings"
	"testing"

	"postern/store"
)

// TestDemonstrationGoesOn: on a folder of its own it finds everything as it was left, also
// when a second person is to approve of another server.
func TestDemonstrationGoesOn(t *testing.T) {
	data := t.TempDir()
	step := func(want string, args ...string) {
		t.Helper()
		code, out, errOut := imported(t, data, args...)
		if code != 0 || !strings.Contains(out, want) {
			t.Fatalf("%s: exit %d, want 0 and %q\n%s%s", args, code, want, out, errOut)
		}
	}
	step(" 0 lost", "demo", "--once")
	secondAdministrator(t, data)
	step("on since", "policy", "four-eyes", "on")
	step(" 0 lost", "demo", "--once")
	if _, out, _ := imported(t, data, "policy", "pending"); strings.Contains(out, "waiting") {
		t.Errorf("something waits:\n%s", out)
	}
}

// secondAdministrator lets two users sign in and change settings.
func secondAdministrator(t *testing.T, data string) {
	t.Helper()
	st, err := store.Open(t.Context(), store.Options{Dir: data})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	org := st.Org(1)
	users, _, err := org.Users(t.Context(), store.ListQuery{Limit: 2})
	if err != nil || len(users) < 2 {
		t.Fatalf("%d users: %v", len(users), err)
	}
	for _, u := range users {
		address := u.Addresses[0]
		if err := makeAdmin(t.Context(), org, address); err != nil {
			t.Fatal(err)
		}
		if err := setPassword(t.Context(), org, string(address), "a long enough password"); err != nil {
			t.Fatal(err)
		}
	}
}
