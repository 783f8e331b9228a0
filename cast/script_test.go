package cast

import (
	"strings"
	"testing"
)

// Who adds a letter is told where it is wrong.
func TestReadScriptSaysWhatIsWrong(t *testing.T) {
	const good = "@-3d 10:00  Ingrid Solberg > Tom Ashworth\nSubject: Hello\n\nText\n\n"
	for _, test := range []struct{ text, want string }{
		{"@-3d 10:00  Ingrid Solberg > Nobody Known\nSubject: x\n\ny", `x.txt:1: "Nobody Known" is neither`},
		{"@-3d 25:00  Ingrid Solberg > Tom Ashworth\nSubject: x\n\ny", `x.txt:1: "25:00" is no time`},
		{"@-xd 10:00  Ingrid Solberg > Tom Ashworth\nSubject: x\n\ny", `x.txt:1: "-xd" is no number`},
		{"@-3d 10:00  Ingrid Solberg, Lena Vogt > Tom Ashworth\nSubject: x\n\ny", "names not one sender"},
		{"Ingrid Solberg > Tom Ashworth", `x.txt:1: "Ingrid Solberg > Tom Ashworth" is not like`},
		{"@-3d 10:00  Ingrid Solberg > Tom Ashworth\n\nno subject", "the first letter needs a subject"},
		{good + "@-2d 10:00  Tom Ashworth > Ingrid Solberg\ntext without a blank line\n", `x.txt:6: "text without a blank line" is no heading`},
		{good + "@-2d 10:00  Tom Ashworth > Ingrid Solberg\nAttach: list.docx\n\ny", `"list.docx"`},
		{good + "@-2d 10:00  Tom Ashworth > Ingrid Solberg\nMark: blue\n\ny", `unknown mark "blue"`},
		{good + "@-2d 10:00  Tom Ashworth > Ingrid Solberg\nFormat: rtf\n\ny", `unknown format "rtf"`},
		{good + "@-2d 10:00  Tom Ashworth > Ingrid Solberg\nLanguage: xx\n\ny", `unknown language "xx"`},
	} {
		_, err := readScript("x.txt", test.text)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q gives %v, want %s", test.text, err, test.want)
		}
	}
	if entries, err := readScript("x.txt", good+good); err != nil || len(entries) != 2 || entries[1].parent != nil {
		t.Errorf("two conversations are read as %v, %v", entries, err)
	}
}
