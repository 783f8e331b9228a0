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

// The looks of a text, of a signature and of a table in Outlook.
const (
	font      = `style="font-family: Aptos, Calibri, sans-serif; font-size: 11pt; color: rgb(0, 0, 0);"`
	smallFont = `style="font-family: Aptos, Calibri, sans-serif; font-size: 9pt; color: rgb(102, 102, 102);"`
	tableLook = `border="1" cellpadding="6" style="border-collapse: collapse; border-color: #cccccc; font-family: Aptos, Calibri, sans-serif; font-size: 11pt;"`
)

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
			fmt.Fprintf(&b, "<div %s><br></div>\n<div id=\"Signature\" %s>%s</div>\n", font, smallFont, htmlLines(lines))
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
	b.WriteString("<table " + tableLook + ">\n")
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
	lines := []string{
		"BEGIN:VCALENDAR",
		"PRODID:-//Microsoft Corporation//Outlook 16.0 MIMEDIR//EN",
		"VERSION:2.0",
		"METHOD:REQUEST",
		"BEGIN:VEVENT",
		fmt.Sprintf("UID:%016x", seed(e.key)),
		"DTSTAMP:" + i.when.UTC().Format(layout),
		"DTSTART:" + start.Format(layout),
		"DTEND:" + start.Add(time.Hour).Format(layout),
		"SUMMARY:" + strings.ReplaceAll(e.fill(i, e.subject), ",", `\,`),
		fmt.Sprintf("ORGANIZER;CN=%q:mailto:%s", e.from.name, e.from.address),
	}
	for _, p := range e.to {
		lines = append(lines, fmt.Sprintf("ATTENDEE;ROLE=REQ-PARTICIPANT;PARTSTAT=NEEDS-ACTION;CN=%q:mailto:%s", p.name, p.address))
	}
	lines = append(lines, "END:VEVENT", "END:VCALENDAR", "")
	p := e.encoded("text/calendar", strings.Join(lines, "\n"))
	p.headers[0].value += "; method=REQUEST"
	return p
}

// deliveryReport says that a letter did not arrive (RFC 3464).
func (e *entry) deliveryReport(i issue) part {
	status := strings.Join([]string{
		"Reporting-MTA: dns; mx." + e.from.address.Domain(),
		"",
		"Final-Recipient: rfc822; " + string(e.bounced),
		"Action: failed",
		"Status: 5.1.1",
		"Diagnostic-Code: smtp; 550 5.1.1 no such recipient",
		"",
	}, "\r\n")
	p := join("report", e.key, e.textPart(i), part{[]header{{"Content-Type", "message/delivery-status"}}, []byte(status)})
	p.headers[0].value += "; report-type=delivery-status"
	return p
}
