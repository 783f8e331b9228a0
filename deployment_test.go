package main

import (
	"bytes"
	"strings"
	"testing"
)

// TestDeploymentRange: a range that lets connections lead nearly anywhere is not approved.
func TestDeploymentRange(t *testing.T) {
	data := t.TempDir()
	for text, ok := range map[string]bool{"10.0.0.0/8": true, "10.20.0.7": true, "fd12::/16": true, "0.0.0.0/0": false, "10.0.0.0/7": false, "::/0": false, "fc00::/7": false} {
		var out bytes.Buffer
		status := run([]string{"deployment", "--allow-range", text, "--data", data}, &out, &out)
		if (status == 0) != ok || !ok && !strings.Contains(out.String(), "Name the network of the Exchange servers alone") {
			t.Errorf("%s: status %d\n%s", text, status, &out)
		}
	}
}
