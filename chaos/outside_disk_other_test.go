//go:build unix && !linux

package chaos_test

import "testing"

func diskFull(t *testing.T, _ string, _ int) { t.Skip("a small disk is mounted on Linux only") }
