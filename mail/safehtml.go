package mail

import (
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/microcosm-cc/bluemonday"
	"golang.org/x/net/html"
)

// SafeOptions says what SafeHTML makes of pictures. The zero value shows only those that
// the HTML itself holds.
type SafeOptions struct {
	// CID returns the address under which the part with this Content-ID can be had; ""
	// leaves the picture out.
	CID func(id string) string
	// Remote returns the address from which a remote picture may be loaded: its own, or
	// that of a proxy; "" leaves it out. When Remote is nil, all are left out: loading
	// one tells its owner that, when and where the message was read.
	Remote func(url string) string
	// Blocked is told the address of each remote picture that was left out.
	Blocked func(url string)
}

// maxSafe bounds the HTML that is made safe, in bytes. Longer HTML is cut.
const maxSafe = 8 << 20

// SafeHTML returns a fragment of HTML with which a message can be shown. There is no
// script in it, no form, no style sheet, no frame, nothing that loads by itself but the
// pictures that opt allows, and nothing that leaves its place on the page. Links open a
// new window that knows nothing of ours. All elements are closed.
//
// A filter can have a hole: show the fragment in a sandboxed frame all the same.
func SafeHTML(s string, opt SafeOptions) string {
	if len(s) > maxSafe {
		s = strings.ToValidUTF8(s[:maxSafe], "")
	}
	f := finisher{opt: opt}
	return f.run(policy().Sanitize(s))
}

// policy is built once: it holds many compiled patterns. It is not changed afterwards.
var policy = sync.OnceValue(newPolicy)

func newPolicy() *bluemonday.Policy {
	p := bluemonday.NewPolicy()
	p.AllowElements("abbr", "acronym", "address", "article", "aside", "b", "bdi", "bdo", "big", "blockquote", "br", "caption",
		"center", "cite", "code", "dd", "del", "dfn", "div", "dl", "dt", "em", "figcaption", "figure", "footer", "h1", "h2", "h3",
		"h4", "h5", "h6", "header", "hr", "i", "ins", "kbd", "li", "main", "mark", "ol", "p", "pre", "q", "s", "samp", "section",
		"small", "span", "strike", "strong", "sub", "sup", "table", "tbody", "td", "tfoot", "th", "thead", "tr", "tt", "u", "ul", "var", "wbr")
	p.AllowElements("col", "colgroup", "font", "img", "a")
	p.SkipElementsContent("title", "xml")
	p.AllowElementsContent("frame", "frameset", "object") // these often never end, and would take the letter along

	word := regexp.MustCompile(`^[a-zA-Z]{1,20}$`)
	length := regexp.MustCompile(`^[0-9]{1,5}(\.[0-9]{1,4})?(px|%)?$`)
	number := regexp.MustCompile(`^[0-9]{1,4}$`)
	color := regexp.MustCompile(`^#?[0-9a-zA-Z]{1,20}$`)
	p.AllowAttrs("dir", "align", "valign").Matching(word).Globally()
	p.AllowAttrs("lang").Matching(regexp.MustCompile(`^[a-zA-Z0-9-]{1,20}$`)).Globally()
	p.AllowAttrs("title").Globally()
	p.AllowAttrs("bgcolor").Matching(color).OnElements("table", "tbody", "td", "tfoot", "th", "thead", "tr")
	p.AllowAttrs("color").Matching(color).OnElements("font", "hr")
	p.AllowAttrs("face").Matching(regexp.MustCompile(`^[\w ,'-]{1,200}$`)).OnElements("font")
	p.AllowAttrs("size").Matching(regexp.MustCompile(`^[+-]?[0-9]{1,2}$`)).OnElements("font", "hr")
	p.AllowAttrs("width", "height").Matching(length).OnElements("img", "table", "td", "th", "tr", "col", "colgroup", "hr")
	p.AllowAttrs("border", "cellpadding", "cellspacing", "hspace", "vspace").Matching(number).OnElements("table", "img")
	p.AllowAttrs("colspan", "rowspan", "span").Matching(number).OnElements("td", "th", "col", "colgroup")
	p.AllowAttrs("nowrap").OnElements("td", "th")
	p.AllowAttrs("type", "start", "value").Matching(regexp.MustCompile(`^[0-9a-zA-Z]{1,10}$`)).OnElements("ol", "ul", "li")
	p.AllowAttrs("alt", "src").OnElements("img")
	p.AllowAttrs("href").OnElements("a")
	allowStyles(p)

	p.RequireParseableURLs(true)
	p.AllowRelativeURLs(false)
	p.AllowURLSchemes("http", "https", "mailto", "tel", "cid")
	p.AllowDataURIImages()
	p.RequireNoReferrerOnLinks(true)
	p.AddTargetBlankToFullyQualifiedLinks(true)
	return p
}

// allowStyles allows what letters are laid out with. Nothing here can load a resource,
// leave its place, or cover something else.
func allowStyles(p *bluemonday.Policy) {
	value := regexp.MustCompile(`^(?i:[#%.,\w\s!'"-]|rgba?\([0-9.,%\s]{1,40}\))+$`)
	p.AllowStyles("color", "background-color", "background", "font", "font-family", "font-size", "font-style", "font-variant", "font-weight",
		"line-height", "letter-spacing", "text-align", "text-decoration", "text-indent", "text-transform", "vertical-align", "direction",
		"white-space", "word-break", "word-wrap", "overflow-wrap", "list-style-type",
		"width", "max-width", "min-width", "height", "max-height", "min-height",
		"padding", "padding-top", "padding-right", "padding-bottom", "padding-left",
		"border", "border-top", "border-right", "border-bottom", "border-left", "border-collapse", "border-spacing", "border-radius",
		"border-color", "border-style", "border-width", "table-layout", "mso-hide").Matching(value).Globally()
	// A negative margin would move text over other text.
	p.AllowStyles("margin", "margin-top", "margin-right", "margin-bottom", "margin-left").
		Matching(regexp.MustCompile(`^(?:auto|0|[0-9.]{1,8}(?:px|pt|em|rem|ex|cm|mm|in|%)?|\s){1,9}$`)).Globally()
	p.AllowStyles("display").MatchingEnum("none", "block", "inline", "inline-block", "table", "table-row", "table-cell", "list-item").Globally()
	p.AllowStyles("float").MatchingEnum("left", "right", "none").Globally()
	p.AllowStyles("clear").MatchingEnum("left", "right", "both", "none").Globally()
}

// A finisher goes over the filter's clean output: it settles the pictures and closes
// what was left open, so that a fragment cannot swallow what stands behind it.
type finisher struct {
	opt  SafeOptions
	out  strings.Builder
	open []string
}

// deepest is how many elements may stand in one another; browsers stop at 512.
const deepest = 256

func (f *finisher) run(s string) string {
	f.out.Grow(len(s))
	z := html.NewTokenizer(strings.NewReader(s))
	for {
		switch z.Next() {
		case html.ErrorToken:
			f.closeTo(0)
			return f.out.String()
		case html.TextToken:
			f.out.Write(z.Raw())
		case html.StartTagToken, html.SelfClosingTagToken:
			raw := string(z.Raw())
			t := z.Token()
			switch {
			case t.Data == "img":
				f.image(t)
			case isVoid(t.DataAtom):
				f.out.WriteString(raw)
			case len(f.open) >= deepest || t.Type != html.StartTagToken:
				// its text remains
			case t.Data == "a":
				f.link(t)
				f.open = append(f.open, t.Data)
			default:
				f.out.WriteString(raw)
				f.open = append(f.open, t.Data)
			}
		case html.EndTagToken:
			name, _ := z.TagName()
			if i := lastIndex(f.open, string(name)); i >= 0 {
				f.closeTo(i)
			}
		}
	}
}

// closeTo closes the open elements down to and with number n.
func (f *finisher) closeTo(n int) {
	for i := len(f.open) - 1; i >= n; i-- {
		f.out.WriteString("</" + f.open[i] + ">")
	}
	f.open = f.open[:n]
}

// link writes the start of a link; the filter lets through what only a picture may point at.
func (f *finisher) link(t html.Token) {
	t.Attr = slices.DeleteFunc(t.Attr, func(a html.Attribute) bool {
		scheme, _, _ := strings.Cut(a.Val, ":")
		return a.Key == "href" && !slices.Contains([]string{"http", "https", "mailto", "tel"}, strings.ToLower(scheme))
	})
	f.out.WriteString(t.String())
}

// image writes a picture with the address that it may be loaded from, or without one: then
// its place and its description are still seen.
func (f *finisher) image(t html.Token) {
	src := attr(t, "src")
	t.Attr = slices.DeleteFunc(t.Attr, func(a html.Attribute) bool { return a.Key == "src" })
	if to := f.source(src); to != "" {
		t.Attr = append(t.Attr, html.Attribute{Key: "src", Val: to})
	}
	f.out.WriteString(t.String())
}

var raster = regexp.MustCompile(`^image/(?:gif|jpeg|jpg|png|webp|bmp);base64,`)

func (f *finisher) source(src string) string {
	scheme, rest, _ := strings.Cut(src, ":")
	switch strings.ToLower(scheme) {
	case "data":
		if raster.MatchString(rest) { // the filter lets SVG through
			return src
		}
	case "cid":
		if f.opt.CID == nil {
			return ""
		}
		if id, err := url.PathUnescape(rest); err == nil {
			rest = id
		}
		return f.opt.CID(normalID(rest))
	case "http", "https":
		if f.opt.Remote != nil {
			if to := f.opt.Remote(src); to != "" {
				return to
			}
		}
		if f.opt.Blocked != nil {
			f.opt.Blocked(src)
		}
	}
	return ""
}

func lastIndex(list []string, s string) int {
	for i := len(list) - 1; i >= 0; i-- {
		if list[i] == s {
			return i
		}
	}
	return -1
}
