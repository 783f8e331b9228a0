//go:build unix

package main

import (
	"runtime"
	"syscall"
)

// peakRSS is the most memory that this process has held so far, in bytes.
func peakRSS() int64 {
	var usage syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &usage) != nil {
		return 0
	}
	if runtime.GOOS == "darwin" { // counts in bytes, all others in KiB
		return usage.Maxrss
	}
	return usage.Maxrss * 1024
}

// cpuSeconds is the processor time that this process has used so far.
func cpuSeconds() float64 {
	var usage syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &usage) != nil {
		return 0
	}
	seconds := func(t syscall.Timeval) float64 { return float64(t.Sec) + float64(t.Usec)/1e6 }
	return seconds(usage.Utime) + seconds(usage.Stime)
}
