//go:build unix

package main

import (
	"bytes"
	"os"
	"runtime"
	"strconv"
	"strings"
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

// residentBytes is the memory that this process holds now; where the system does not
// tell, the most that it has held.
func residentBytes() int64 {
	text, err := os.ReadFile("/proc/self/statm")
	if fields := strings.Fields(string(text)); err == nil && len(fields) > 1 {
		if pages, err := strconv.ParseInt(fields[1], 10, 64); err == nil {
			return pages * int64(os.Getpagesize())
		}
	}
	return peakRSS()
}

// cpuSecondsOf is the processor time that another process has used so far; 0 where the
// system does not tell.
// https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
func cpuSecondsOf(pid int) float64 {
	const perSecond = 100 // what the kernel counts in, on all systems of today
	text, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:])) // behind the name of the program, which may hold anything
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.ParseFloat(fields[11], 64)
	system, _ := strconv.ParseFloat(fields[12], 64)
	return (user + system) / perSecond
}
