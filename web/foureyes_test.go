package web

import (
	"net/http"
	"testing"

	"postern/crm"
	"postern/mail"
)

// TestPasswordBeforePromotionOnThePage: an administrator who gave a user a password, and then
// has that user made an administrator, does not approve the own proposals in that name.
func TestPasswordBeforePromotionOnThePage(t *testing.T) {
	s := newGuardedSite(t)
	s.answers(ann, "POST", "/users/"+itoa(int64(s.user("Zed").ID))+"/password", "password=correct+horse", http.StatusSeeOther, "")
	user, who := s.user("Zed"), s.user("Ann").User
	user.Admin = true
	if _, err := s.org.SaveUsers(crm.WithUser(t.Context(), &who), []crm.User{user.User}); err == nil {
		t.Fatal("an administrator was made by one person")
	}
	s.answers(bob, "POST", "/access/policy/proposals/1", "do=approve", http.StatusSeeOther, "")
	s.answers(ann, "POST", "/access/log/retention", "days=3", http.StatusSeeOther, "")
	const one = "/access/policy/proposals/2"
	s.expect(zed, one, "You cannot approve it. One person may hold your password|Zed|Another administrator may|postern policy approve 2|postern users password|Reject", `value="approve"`)
	s.expect(ann, one, "You made it", `value="approve"|You cannot approve it`)
	s.expect(bob, one, `value="approve"|Reject`, "You cannot approve it")
	s.answers(zed, "POST", one, "do=approve", http.StatusForbidden, "four-eyes-password|postern users password")
	s.answers(zed, "POST", "/api"+one+"/approve", "", http.StatusForbidden, "four-eyes-password")
	s.answers(bob, "POST", one, "do=approve", http.StatusSeeOther, "")
	s.expect(bob, "/access/log", `value="3"`, "Not in force yet")
}

// TestFirstAccountKeepsFourEyesOff: the page says so before anybody tries.
func TestFirstAccountKeepsFourEyesOff(t *testing.T) {
	s := newFilledSite(t)
	s.admin(bob, true)
	first := crm.User{Name: "Administrator", Addresses: []mail.Address{crm.FirstAdmin}, Admin: true, Active: true}
	if _, err := s.org.SaveUsers(t.Context(), []crm.User{first}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"Ann", "Bob", "Administrator"} {
		if err := s.org.SetPassword(t.Context(), s.user(name).ID, "hash"); err != nil {
			t.Fatal(err)
		}
	}
	const hint = "postern users deactivate"
	s.expect(ann, "/access/policy", hint, "")
	s.answers(ann, "POST", "/access/policy/four-eyes", "set=on", http.StatusConflict, "four-eyes-first-administrator")
	first = s.user("Administrator").User
	first.Active = false
	if _, err := s.org.SaveUsers(t.Context(), []crm.User{first}); err != nil {
		t.Fatal(err)
	}
	s.expect(ann, "/access/policy", "Turn on", hint)
	s.answers(ann, "POST", "/access/policy/four-eyes", "set=on", http.StatusSeeOther, "")
}

// TestFirstAccountDecidesNothing: to the account of the first start, which is nobody's own, no
// button is shown that it could not use.
func TestFirstAccountDecidesNothing(t *testing.T) {
	s := newFilledSite(t)
	first := crm.User{Name: "Administrator", Addresses: []mail.Address{crm.FirstAdmin}, Admin: true, Active: true}
	if _, err := s.org.SaveUsers(t.Context(), []crm.User{first}); err != nil {
		t.Fatal(err)
	}
	s.fourEyes()
	s.answers(ann, "POST", "/access/log/retention", "days=3", http.StatusSeeOther, "")
	const one = "/access/policy/proposals/1"
	s.expect(string(crm.FirstAdmin), one, "You cannot approve it. Only an administrator with an account of the own", `value="approve"|value="reject"`)
	s.answers(string(crm.FirstAdmin), "POST", one, "do=reject", http.StatusForbidden, "four-eyes-nobody")
	s.expect(bob, one, `value="approve"|value="reject"`, "You cannot approve it")
}

// TestShorterAccessLogWaits: the page says that it is kept as long as before, and that a
// second person is to look at it.
func TestShorterAccessLogWaits(t *testing.T) {
	s := newGuardedSite(t)
	s.answers(ann, "POST", "/access/log/retention", "days=120", http.StatusSeeOther, "")
	s.expect(ann, "/access/log", `value="120"`, "Not in force yet")
	s.answers(ann, "POST", "/access/log/retention", "days=3", http.StatusSeeOther, "")
	s.expect(ann, "/access/log", `value="120"|Not in force yet|/access/policy/proposals/1|days 120 → 3`, "")
	s.answers(bob, "POST", "/access/policy/proposals/1", "do=reject", http.StatusSeeOther, "")
	s.expect(ann, "/access/log", `value="120"`, "Not in force yet")
}
