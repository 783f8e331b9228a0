package chaos_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// diskFull fills the disk that the data folder is on. The server says so, goes on showing
// what it has, and goes on collecting by itself once there is room.
func diskFull(t *testing.T, program string, _ int) {
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=64m"); err != nil {
		t.Skipf("a small disk cannot be mounted here, which takes an administrator: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(disk, 0); err != nil {
			t.Error("unmount:", err)
		}
	})
	c := newCompany(t, program, filepath.Join(disk, "data"), 5)
	pages := c.signIn()
	c.load(5)
	c.awaitMore(10)
	filler := filepath.Join(disk, "filler")
	fill(t, filler)
	await(t, time.Minute, "the server's log says that the disk is full", func() bool { return c.server.says("disk-full") })
	await(t, time.Minute, "the first page says that the disk is full", func() bool { return strings.Contains(pages.get("/"), "data is full") })
	if filed := c.filed(); !strings.Contains(pages.get("/api/mailboxes"), "user00000@") || filed == 0 {
		t.Errorf("what is there is not shown; %d are filed", filed)
	}
	c.awaitDeliveries(30)
	c.calmDown() // nothing that comes later shall remind the server of what came while it could not save
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	c.prove()
}

// fill writes until there is no room, not even for a byte.
func fill(t *testing.T, file string) {
	t.Helper()
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := 1 << 20; size > 0; {
		switch _, err := f.Write(make([]byte, size)); {
		case errors.Is(err, syscall.ENOSPC):
			size /= 2
		case err != nil:
			t.Fatal(err)
		}
	}
}
