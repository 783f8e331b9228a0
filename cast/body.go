package cast

import (
	"fmt"
	"html"
	"strings"
	"time"
)

// text is the letter as plain text, with what it answers quoted below.
func (e *entry) text(i issue) string {
	var b strings.Builder
	for line := range strings.SplitSeq(e.fill(i, e.body), "\n") {
		if strings.HasPrefix(line, "|") {
			line = strings.Join(cells(line), "\t")
		}
		b.WriteString(line + "\n")
	}
	if e.parent == nil {
		for n, line := range e.signature() {
			if n == 0 {
				b.WriteString("\n-- \n")
			}
			b.WriteString(line + "\n")
		}
		return b.String()
	}
	above, p, w := e.parentIssue(i), e.parent, e.language.words()
	quoted := strings.TrimRight(p.text(above), "\n")
	if e.format == plain {
		fmt.Fprintf(&b, "\n%s\n\n", e.language.wrote(above.when, p.from.name))
		for line := range strings.SplitSeq(quoted, "\n") {
			b.WriteString(strings.TrimRight("> "+line, " ") + "\n")
		}
		return b.String()
	}
	fmt.Fprintf(&b, "\n________________________________\n%s: %s <%s>\n%s: %s\n%s: %s\n%s: %s\n\n%s\n",
		w.from, p.from.name, p.from.address, w.sent, above.when.Format(w.date),
		w.to, names(p.to), w.subject, p.fill(above, p.subject), quoted)
	return b.String()
}

// html is the letter as Outlook writes it.
func (e *entry) html(i issue) string {
	return `<html><head>
<meta http-equiv="Content-Type" content="text/html; charset=` + e.charset(i) + `">
<style type="text/css" style="display:none;"> P {margin-top:0;margin-bottom:0;} </style>
</head>
<body dir="ltr">
` + e.htmlBody(i) + "</body>\n</html>\n"
}

// charset is the one that the text will be written in.
func (e *entry) charset(i issue) string {
	_, charset := e.language.encode(e.htmlBody(i))
	return charset
}

const font = `style="font-family: Aptos, Calibri, sans-serif; font-size: 11pt; color: rgb(0, 0, 0);"`

func (e *entry) htmlBody(i issue) string {
	var b strings.Builder
	for n, paragraph := range strings.Split(e.fill(i, e.body), "\n\n") {
		if n > 0 {
			fmt.Fprintf(&b, "<div %s><br></div>\n", font)
		}
		b.WriteString(htmlParagraph(paragraph))
	}
	if e.parent == nil {
		if lines := e.signature(); len(lines) > 0 {
			fmt.Fprintf(&b, "<div %s><br></div>\n<div id=\"Signature\" style=\"font-family: Aptos, Calibri, sans-serif; font-size: 9pt; color: rgb(102, 102, 102);\">%s</div>\n", font, htmlLines(lines))
		}
		return b.String()
	}
	above, p, w := e.parentIssue(i), e.parent, e.language.words()
	fmt.Fprintf(&b, `<div id="appendonsend"></div>
<hr style="display:inline-block;width:98%%" tabindex="-1">
<div id="divRplyFwdMsg" dir="ltr"><font face="Calibri, sans-serif" style="font-size:11pt" color="#000000"><b>%s:</b> %s &lt;%s&gt;<br>
<b>%s:</b> %s<br>
<b>%s:</b> %s<br>
<b>%s:</b> %s</font><div>&nbsp;</div></div>
`, w.from, html.EscapeString(p.from.name), p.from.address, w.sent, above.when.Format(w.date),
		w.to, html.EscapeString(names(p.to)), w.subject, html.EscapeString(p.fill(above, p.subject)))
	b.WriteString(p.htmlBody(above))
	return b.String()
}

// htmlParagraph writes a paragraph, a table or a picture.
func htmlParagraph(paragraph string) string {
	lines := strings.Split(paragraph, "\n")
	if strings.HasPrefix(paragraph, "|") {
		return htmlTable(lines)
	}
	if name, ok := picture(paragraph); ok {
		return fmt.Sprintf("<div><img src=\"cid:%s\" width=\"%d\" alt=%q></div>\n", contentID(name), chartWidth, name)
	}
	return fmt.Sprintf("<div class=\"elementToProof\" %s>%s</div>\n", font, htmlLines(lines))
}

func htmlLines(lines []string) string {
	return strings.ReplaceAll(html.EscapeString(strings.Join(lines, "\n")), "\n", "<br>\n")
}

func htmlTable(lines []string) string {
	var b strings.Builder
	b.WriteString(`<table border="1" cellpadding="6" style="border-collapse: collapse; border-color: #cccccc; font-family: Aptos, Calibri, sans-serif; font-size: 11pt;">` + "\n")
	cell := "th"
	for _, line := range lines {
		b.WriteString("<tr>")
		for _, c := range cells(line) {
			fmt.Fprintf(&b, "<%s align=\"left\">%s</%[1]s>", cell, html.EscapeString(c))
		}
		b.WriteString("</tr>\n")
		cell = "td"
	}
	b.WriteString("</table>\n")
	return b.String()
}

// cells are what stands between the bars of a table's line.
func cells(line string) []string {
	list := strings.Split(strings.Trim(line, "| "), "|")
	for n := range list {
		list[n] = strings.TrimSpace(list[n])
	}
	return list
}

// picture tells whether the line stands for a picture, such as "[photo.png]".
func picture(line string) (name string, ok bool) {
	name, opened := strings.CutPrefix(line, "[")
	name, closed := strings.CutSuffix(name, ".png]")
	return name + ".png", opened && closed
}

// signature is what the writer's mail program adds to a new conversation.
func (e *entry) signature() []string {
	if len(e.from.signature) == 0 {
		return nil
	}
	return append([]string{e.from.name}, e.from.signature...)
}

func names(list []person) string {
	var all []string
	for _, p := range list {
		all = append(all, p.name)
	}
	return strings.Join(all, "; ")
}

// calendarPart is the invitation in a meeting request (RFC 5546).
func (e *entry) calendarPart(i issue) part {
	const layout = "20060102T150405Z"
	start := i.clock.at(e.startDay, e.startTime).UTC()
	var b strings.Builder
	fmt.Fprintf(&b, "BEGIN:VCALENDAR\nPRODID:-//Microsoft Corporation//Outlook 16.0 MIMEDIR//EN\nVERSION:2.0\nMETHOD:REQUEST\nBEGIN:VEVENT\nUID:%016x\nDTSTAMP:%s\nDTSTART:%s\nDTEND:%s\nSUMMARY:%s\nORGANIZER;CN=%q:mailto:%s\n",
		seed(e.key), i.when.UTC().Format(layout), start.Format(layout), start.Add(time.Hour).Format(layout), e.fill(i, e.subject), e.from.name, e.from.address)
	for _, p := range e.to {
		fmt.Fprintf(&b, "ATTENDEE;ROLE=REQ-PARTICIPANT;PARTSTAT=NEEDS-ACTION;CN=%q:mailto:%s\n", p.name, p.address)
	}
	b.WriteString("END:VEVENT\nEND:VCALENDAR\n")
	p := e.encoded("text/calendar", b.String())
	p.headers[0].value += "; method=REQUEST"
	return p
}

// deliveryReport says that a letter did not arrive (RFC 3464).
func (e *entry) deliveryReport(i issue) part {
	status := fmt.Sprintf("Reporting-MTA: dns; mx.%s\r\n\r\nFinal-Recipient: rfc822; %s\r\nAction: failed\r\nStatus: 5.1.1\r\nDiagnostic-Code: smtp; 550 5.1.1 no such recipient\r\n",
		e.from.address.Domain(), e.bounced)
	p := join("report", e.key, e.textPart(i), part{[]header{{"Content-Type", "message/delivery-status"}}, []byte(status)})
	p.headers[0].value += "; report-type=delivery-status"
	return p
}
