package web

import (
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"postern/crm"
	"postern/mail"
	"postern/store"
)

// The HTML of a message is a stranger's and meant to look as the stranger wants. It is
// shown on a route of its own, in a frame, behind three fences, each of which holds alone:
//
//  1. mail.SafeHTML leaves no script, form, style sheet or remote address in it.
//  2. The Content-Security-Policy of the route allows nothing but inline style and the
//     pictures in the page; the sandbox in it has no allow-scripts, so no script runs,
//     wherever it came from.
//  3. The frame's sandbox attribute says the same once more, and what is opened outside
//     of a frame has no origin at all.
//
// Within the frame the origin is kept (allow-same-origin), for the page around it to
// measure how tall the message is. Only a script could make use of it, and none runs.
const (
	frameSandbox = "sandbox allow-popups allow-popups-to-escape-sandbox allow-same-origin"
	aloneSandbox = "sandbox allow-popups allow-popups-to-escape-sandbox"
)

// A bodyView is the text of a message as its page shows it: HTML in a frame, or text.
type bodyView struct {
	Text, Quoted string // plain text, and the earlier messages quoted below it
	Frame        string // address of the frame; "" when there is no HTML
	HasQuoted    bool   // the frame leaves quotations out until asked
	Blocked      int    // remote pictures left out
	Themed       bool   // brings its own colours, so it stays on white paper
	embedded     []string
}

// shows tells whether an attachment is a picture within the text.
func (b *bodyView) shows(a store.AttachmentView) bool {
	return slices.Contains(b.embedded, a.ContentID)
}

func newBodyView(m *store.MessageView) bodyView {
	if strings.TrimSpace(m.HTML) == "" {
		own, quoted := mail.TrimQuoted(m.Text)
		return bodyView{Text: strings.TrimSpace(own), Quoted: strings.TrimSpace(quoted)}
	}
	b := bodyView{Frame: messageURL(m.ID) + "/body"}
	var html string
	html, b.HasQuoted = mail.TrimQuotedHTML(m.HTML)
	html = mail.SafeHTML(html, mail.SafeOptions{
		CID:     func(id string) string { b.embedded = append(b.embedded, id); return "" },
		Blocked: func(string) { b.Blocked++ },
	})
	b.Themed = themed(html)
	return b
}

// themed tells whether HTML sets colours other than black on white. What sets none may be
// shown in the colours of the reader's choice; the rest was written for white paper.
// Outlook writes black out, so that alone is no choice of the sender's.
func themed(html string) bool {
	for _, m := range colours.FindAllStringSubmatch(strings.ToLower(html), -1) {
		if !inkOnPaper[strings.ReplaceAll(strings.TrimSpace(m[1]), " ", "")] {
			return true
		}
	}
	return false
}

var colours = regexp.MustCompile(`(?i)(?:\bcolor|\bbackground|\bbackground-color|\bbgcolor)\s*[:=]\s*"?([^;">]*)`)

var inkOnPaper = map[string]bool{
	"": true, "inherit": true, "initial": true, "black": true, "windowtext": true, "#000": true, "#000000": true, "rgb(0,0,0)": true,
	"none": true, "transparent": true, "white": true, "#fff": true, "#ffffff": true, "rgb(255,255,255)": true,
}

// frameStyle lets a letter look like one, and keeps wide ones within the frame.
const frameStyle = `html{overflow-x:auto;overflow-y:hidden}
body{margin:0;padding:18px 20px;font:14px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif;color:#1c2126;background:#fff;overflow-wrap:break-word}
p{margin:0 0 12px}p:last-child{margin-bottom:0}img{max-width:100%;height:auto}img:not([src]):is([alt=""],:not([alt])){display:none}table{max-width:100%}a{color:#1f5f4a}
blockquote{margin:8px 0;padding-left:12px;border-left:2px solid #d3cfc5;color:#565f68}pre{white-space:pre-wrap}
@media (prefers-color-scheme:dark){body.plain{color:#e7eaec;background:#1a1f22}.plain :not(a){color:inherit!important;background:none!important}.plain a{color:#6fc3a4}.plain blockquote{color:#a9b2b9;border-color:#3a4348}}`

var frameTemplate = template.Must(template.New("frame").Parse(`<!DOCTYPE html>
<html lang="und"><head><meta charset="utf-8"><meta name="referrer" content="no-referrer"><title>Message</title><style>` + frameStyle + `</style></head><body{{if not .Themed}} class="plain"{{end}}>{{.HTML}}</body></html>
`))

// messageBody is the frame's content: ?quoted=1 with the earlier messages, ?images=1 with
// remote pictures, loaded without telling where from.
func (s *server) messageBody(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r, "id")
	if err != nil {
		return err
	}
	m, err := s.Org.Message(r.Context(), viewerOf(r).ID, crm.MessageID(id))
	if err != nil {
		return err
	}
	images := r.URL.Query().Get("images") == "1"
	html := m.HTML
	if r.URL.Query().Get("quoted") != "1" {
		html, _ = mail.TrimQuotedHTML(html)
	}
	pictures := s.embed(r, m)
	opt := mail.SafeOptions{CID: pictures}
	if images {
		opt.Remote = func(url string) string { return url }
	}
	safe := mail.SafeHTML(html, opt)
	frameHeaders(w, r, images)
	return frameTemplate.Execute(w, struct {
		HTML   template.HTML
		Themed bool
	}{template.HTML(safe), themed(safe)})
}

func frameHeaders(w http.ResponseWriter, r *http.Request, images bool) {
	sandbox, sources := aloneSandbox, "data:"
	if r.Header.Get("Sec-Fetch-Dest") == "iframe" {
		sandbox = frameSandbox
	}
	if images {
		sources = "data: https: http:"
	}
	h := w.Header()
	h.Set("Content-Security-Policy", fmt.Sprintf("%s; default-src 'none'; img-src %s; style-src 'unsafe-inline'; form-action 'none'; base-uri 'none'; frame-ancestors 'self'", sandbox, sources))
	h.Set("X-Frame-Options", "SAMEORIGIN")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Content-Type", "text/html; charset=utf-8")
}

// embedLimit bounds the pictures that are written into one page.
const embedLimit = 6 << 20

// embed returns a function that turns a Content-ID into a data: address, so that the
// frame needs no right to fetch anything. Only kinds that cannot hold script are shown.
func (s *server) embed(r *http.Request, m *store.MessageView) func(id string) string {
	left := int64(embedLimit)
	return func(id string) string {
		i := slices.IndexFunc(m.Attachments, func(a store.AttachmentView) bool {
			return a.ContentID == id && a.State == store.AttachmentStored
		})
		if i < 0 {
			return ""
		}
		kind := downloadType(m.Attachments[i].Type)
		if !strings.HasPrefix(kind, "image/") || m.Attachments[i].Size > left {
			return ""
		}
		_, content, err := s.Org.OpenAttachment(r.Context(), m.Attachments[i].ID)
		if err != nil {
			s.Log.Warn("show a picture of a message", "message", m.ID, "attachment", m.Attachments[i].ID, "err", err)
			return ""
		}
		defer content.Close()
		b, err := io.ReadAll(io.LimitReader(content, left))
		if err != nil {
			s.Log.Warn("show a picture of a message", "message", m.ID, "attachment", m.Attachments[i].ID, "err", err)
			return ""
		}
		left -= int64(len(b))
		return "data:" + kind + ";base64," + base64.StdEncoding.EncodeToString(b)
	}
}
