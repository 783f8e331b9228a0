package crm

import "testing"

func TestSafeCell(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "ann@acme.example": "ann@acme.example", "12": "12", "a=1": "a=1", " =1": " =1",
		`=HYPERLINK("https://track.example")`: `'=HYPERLINK("https://track.example")`,
		"+1":                                  "'+1", "-1": "'-1", "@SUM(A1)": "'@SUM(A1)", "\t=1": "'\t=1", "\r=1": "'\r=1", "\n=1": "'\n=1", "\x00=1": "'\x00=1",
	} {
		if got := SafeCell(text); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
}
