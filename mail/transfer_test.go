package mail

import (
	"strings"
	"testing"
)

func TestTransferEncodingsAreUndone(t *testing.T) {
	long := strings.Repeat("x", 10_000)
	tests := []struct{ name, encoding, in, want string }{
		{"none", "", "a=3D", "a=3D"},
		{"base64 in lines", "BASE64", "aGVs\r\nbG8h\r\n", "hello!"},
		{"base64 with dirt", "base64", "aG*Vs\n\xffbG-8h", "hello!"},
		{"base64 with each line padded", "base64", "aGU=\nbGw=\nbw==\n", "hello"},
		{"base64 without padding", "base64", "aGVsbG8", "hello"},
		{"base64 with half a byte", "base64", "aGVsbG8h\nI", "hello!"},
		{"quoted-printable", "quoted-printable", "Gr=C3=BC=\r\n=C3=9Fe \t\r\nZo=C3=AB", "Grüße\r\nZoë"},
		{"quoted-printable in small letters", "qp", "=c3=bc", "ü"},
		{"quoted-printable with a control byte", "quoted-printable", "\x0cGr=C3=BC=\r\n=C3=9Fe \t\r\nZo=C3=AB", "\x0cGrüße\r\nZoë"},
		{"quoted-printable with a lone =", "quoted-printable", "\x0c1+1=2 =zz =\n=", "\x0c1+1=2 =zz "},
		{"quoted-printable in one long line", "quoted-printable", long + "=21", long + "!"},
		{"uuencode", "x-uuencode", "begin 644 x\n%:&5L;&\\\n`\nend\n", "hello"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, ok := decodeTransfer(tt.encoding, []byte(tt.in)); !ok || string(got) != tt.want {
				t.Errorf("%.60q gives %.60q, %v, want %.60q", tt.in, got, ok, tt.want)
			}
		})
	}
	if got, ok := decodeTransfer("x-gzip64", []byte("x")); ok || string(got) != "x" {
		t.Errorf("an unknown encoding gives %q, %v", got, ok)
	}
}
