package store

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// flock locks the file until it is closed or the process ends, however it ends. Without
// wait it tells at once when another process has it. The locked byte lies behind the
// text, which others may read.
func flock(f *os.File, wait bool) (locked bool, err error) {
	flags := uint32(windows.LOCKFILE_EXCLUSIVE_LOCK)
	if !wait {
		flags |= windows.LOCKFILE_FAIL_IMMEDIATELY
	}
	err = windows.LockFileEx(windows.Handle(f.Fd()), flags, 0, 1, 0, &windows.Overlapped{OffsetHigh: 1})
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, windows.ERROR_LOCK_VIOLATION):
		return false, nil
	}
	return false, &os.PathError{Op: "lock", Path: f.Name(), Err: err}
}

// syncDir has nothing to do: NTFS journals a rename by itself.
func syncDir(string) error { return nil }
