package storetest

import "syscall"

var ownSession *syscall.SysProcAttr
