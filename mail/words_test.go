package mail

import "testing"

func TestEncodedWordsAreResolved(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"none", "1 + 1 =? 2", "1 + 1 =? 2"},
		{"among text", "Re: =?utf-8?q?Gr=C3=BC=C3=9Fe?= all", "Re: Grüße all"},
		{"a character cut in two", "=?utf-8?q?Gr=C3=BC=C3?= =?utf-8?q?=9Fe?=", "Grüße"},
		{"Windows bytes in Latin-1", "=?ISO-8859-1?Q?Parhelia=99_=93now=94?=", "Parhelia™ “now”"},
		{"with a language", "=?iso-8859-15*de?q?100_=A4?=", "100 €"},
		{"another charset than said", "=?utf-8?q?Gr=FC=DFe?=", "Grüße"},
		{"an unknown charset", "=?x-nonsense?q?Gr=FC=DFe?=", "Grüße"},
		{"UTF-7", "=?utf-7?Q?M+APw-ller?=", "Müller"},
		{"with blanks and a question mark", "=?utf-8?Q?how are you??= fine", "how are you? fine"},
		{"an unknown encoding", "=?utf-8?x?a?= =?utf-8?q?b?=", "=?utf-8?x?a?= b"},
		{"without end", "=?utf-8?q?a", "=?utf-8?q?a"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := decodeWords(tt.in); got != tt.want {
				t.Errorf("%q gives %q, want %q", tt.in, got, tt.want)
			}
		})
	}
}

func TestParametersAreRead(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"plain", `attachment; FileName=a.txt`, "a.txt"},
		{"quoted", `attachment; filename="a; \"b\".txt"`, `a; "b".txt`},
		{"a path of Windows", `attachment; filename="C:\TEMP\a.txt"`, `C:\TEMP\a.txt`},
		{"continued and encoded", `attachment; filename*0*=utf-8''%E2%82%AC-; filename*1="a.txt"`, "€-a.txt"},
		{"encoded in Latin-1", `attachment; filename*=iso-8859-1'de'Fr%F6sche.txt`, "Frösche.txt"},
		{"encoded and plain", `attachment; filename=Frosch.txt; filename*=utf-8''Fr%C3%B6sch.txt`, "Frösch.txt"},
		{"blanks without quotes", `attachment; filename=my file.txt; size=1`, "my file.txt"},
		{"a quote without end", `attachment; filename="a.txt; size=1`, "a.txt"},
		{"twice", `attachment; filename=a.txt; filename=b.txt`, "a.txt"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if value, params := parseParams(tt.in); value != "attachment" || params["filename"] != tt.want {
				t.Errorf("%q gives %q with %q, want %q", tt.in, value, params, tt.want)
			}
		})
	}
}
