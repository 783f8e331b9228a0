package mail

import "testing"

func TestCharsetsBecomeUTF8(t *testing.T) {
	tests := []struct{ charset, in, want string }{
		{"", "hello", "hello"},
		{"", "Gr\xfc\xdfe", "Grüße"},
		{"", "Grüße", "Grüße"},
		{"us-ascii", "Grüße", "Grüße"},
		{"utf-8", "\ufeffGrüße", "Grüße"},
		{"utf-8", "Grüße, M\xfcller, Jörg", "Grüße, M\ufffdller, Jörg"},
		{"UTF-8", "Gr\xfc\xdfe", "Grüße"},
		{"ISO-8859-1", "\x93Gr\xfc\xdfe\x94", "“Grüße”"},
		{"iso-8859-15", "\xa4", "€"},
		{"iso-8859-2", "\xb1", "ą"},
		{`"windows-1251"`, "\xcf\xf0\xe8\xe2\xe5\xf2", "Привет"},
		{"cp1251", "\xcf\xf0\xe8\xe2\xe5\xf2", "Привет"},
		{"koi8-r", "\xf0\xd2\xc9\xd7\xc5\xd4", "Привет"},
		{"ibm850", "\x81", "ü"},
		{"gb2312", "\xd6\xd0\xce\xc4", "中文"},
		{"gb18030", "\xd6\xd0\xce\xc4", "中文"},
		{"hz-gb-2312", "~{VPND~}", "中文"},
		{"big5", "\xa4\xa4\xa4\xe5", "中文"},
		{"chinesebig5", "\xa4\xa4\xa4\xe5", "中文"},
		{"ks_c_5601-1987", "\xc7\xd1", "한"},
		{"euc-kr", "\xc7\xd1", "한"},
		{"iso-2022-jp", "\x1b$BF|K\\\x1b(B", "日本"},
		{"shift_jis", "\x93\xfa\x96\x7b", "日本"},
		{"euc-jp", "\xc6\xfc\xcb\xdc", "日本"},
		{"utf-16le", "h\x00i\x00", "hi"},
		{"utf-16be", "\x00h\x00i", "hi"},
		{"utf-32be", "\x00\x00\x00h", "h"},
		{"utf-7", "Gr+APwA3w-e +- 1+1", "Grüße + 1+1"},
		{"utf-7", "+2D3eAA-", "😀"},
		{"utf-7", "+", "+"},
		{"x-nonsense", "Gr\xfc\xdfe", "Grüße"},
		{"gb2312", "\xff", "\ufffd"},
		{"", "a\x00b", "ab"},
	}
	for _, tt := range tests {
		if got := toUTF8([]byte(tt.in), tt.charset); got != tt.want {
			t.Errorf("%q in %q gives %q, want %q", tt.in, tt.charset, got, tt.want)
		}
	}
}
