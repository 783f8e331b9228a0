//go:build unix

package main

import "syscall"

// noCore keeps the system from writing the memory of a process that dies, with its
// secrets, into a file. Where the limit cannot be set there is none to be set.
func noCore() { _ = syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{}) }
