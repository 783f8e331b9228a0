package store_test

import (
	"bytes"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"postern/store"
	"postern/store/storetest"
)

// A sink on a disk that is full has whole lines only, and misses nothing in the end.
func TestAuditSinkOnAFullDisk(t *testing.T) {
	const page = 4096
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=8k"); err != nil {
		leaveOut := t.Skipf
		if os.Getenv("POSTERN_TEST_REQUIRE") == "1" {
			leaveOut = t.Fatalf
		}
		leaveOut("a small disk cannot be mounted here, which takes an administrator: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(disk, 0); err != nil {
			t.Error("unmount:", err)
		}
	})
	filler, sink := filepath.Join(disk, "filler"), filepath.Join(disk, "sink")
	if err := os.WriteFile(filler, make([]byte, page), 0o600); err != nil {
		t.Fatal(err)
	}
	db := storetest.OpenDB(t, store.Options{AuditSink: sink})
	org := logged(t, db, 1)
	full := func() bool {
		got, err := os.ReadFile(sink)
		if err != nil || !bytes.HasSuffix(got, []byte("\n")) {
			t.Fatalf("the sink ends in %q, %v", got[max(0, len(got)-40):], err)
		}
		kept, err := os.ReadFile(checkpointFile(db))
		if err != nil {
			t.Fatal(err)
		}
		return len(got) < len(kept)
	}
	n := 2
	for ; !full(); n++ {
		if n == page {
			t.Fatal("the disk is never full")
		}
		logMore(t, org, n, n)
	}
	if v := verdict(t, org); !v.OK() {
		t.Errorf("while the disk is full: %+v", v)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	logMore(t, org, n, n)
	if full() {
		t.Error("the sink has not got what it missed")
	}
}
