// Package docs holds the pages that the program itself shows: what each code of the
// connection test means, whom it concerns and what is to be done.
//
// A page is a file checks/CODE.md of a few words of Markdown: a title, paragraphs, lists,
// fenced commands, and code between backquotes. Nothing else is understood.
package docs

import (
	"embed"
	"io/fs"
	"path"
	"strings"
)

//go:embed checks/*.md
var files embed.FS

// A Page says more of a code.
type Page struct {
	Code, Title string
	Blocks      []Block
}

// A Block is a heading, a paragraph, a list or a command.
type Block struct {
	Heading string
	Text    []Span
	List    [][]Span
	Command string
}

// A Span is a run of text within a line.
type Span struct {
	Text string
	Code bool
}

// Codes lists the codes that have a page, sorted.
func Codes() []string {
	entries, err := fs.ReadDir(files, "checks")
	if err != nil {
		return nil
	}
	var list []string
	for _, e := range entries {
		list = append(list, strings.TrimSuffix(e.Name(), ".md"))
	}
	return list
}

// Check returns the page of a code.
func Check(code string) (*Page, bool) {
	if code == "" || strings.ContainsAny(code, "/.") {
		return nil, false
	}
	text, err := files.ReadFile(path.Join("checks", code+".md"))
	if err != nil {
		return nil, false
	}
	return parse(code, string(text)), true
}

// Text is the page without its marks.
func (p *Page) Text() string {
	var b strings.Builder
	line := func(list []Span) {
		for _, s := range list {
			b.WriteString(s.Text)
		}
		b.WriteByte('\n')
	}
	for _, block := range p.Blocks {
		switch {
		case block.Heading != "":
			b.WriteString(block.Heading + "\n")
		case block.Command != "":
			b.WriteString(block.Command + "\n")
		case block.List != nil:
			for _, item := range block.List {
				b.WriteString("- ")
				line(item)
			}
		default:
			line(block.Text)
		}
	}
	return b.String()
}

// parse reads a page. Blocks are parted by empty lines.
func parse(code, text string) *Page {
	p := &Page{Code: code}
	lines := strings.Split(strings.ReplaceAll(text, "\r\n", "\n"), "\n")
	for i := 0; i < len(lines); i++ {
		line := lines[i]
		switch {
		case strings.TrimSpace(line) == "":
		case strings.HasPrefix(line, "# "):
			p.Title = line[2:]
		case strings.HasPrefix(line, "## "):
			p.Blocks = append(p.Blocks, Block{Heading: line[3:]})
		case strings.HasPrefix(line, "```"):
			var command []string
			for i++; i < len(lines) && !strings.HasPrefix(lines[i], "```"); i++ {
				command = append(command, lines[i])
			}
			p.Blocks = append(p.Blocks, Block{Command: strings.Join(command, "\n")})
		case strings.HasPrefix(line, "- "):
			var list [][]Span
			for ; i < len(lines) && strings.HasPrefix(lines[i], "- "); i++ {
				list = append(list, spans(lines[i][2:]))
			}
			i--
			p.Blocks = append(p.Blocks, Block{List: list})
		default:
			var words []string
			for ; i < len(lines) && strings.TrimSpace(lines[i]) != ""; i++ {
				words = append(words, strings.TrimSpace(lines[i]))
			}
			p.Blocks = append(p.Blocks, Block{Text: spans(strings.Join(words, " "))})
		}
	}
	return p
}

// spans tells code and text apart.
func spans(line string) []Span {
	var list []Span
	for i, part := range strings.Split(line, "`") {
		if part != "" {
			list = append(list, Span{part, i%2 == 1})
		}
	}
	return list
}
