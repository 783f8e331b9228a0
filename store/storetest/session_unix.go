//go:build unix

package storetest

import "syscall"

var ownSession = &syscall.SysProcAttr{Setsid: true}
