package crm

import "strings"

// SafeCell makes a text harmless as a cell of a CSV file. Spreadsheets take for a formula
// what begins with one of these characters, wherever the text came from; behind a quote
// they show it.
func SafeCell(text string) string {
	if text != "" && strings.IndexByte("=+-@\t\r\n\x00", text[0]) >= 0 {
		return "'" + text
	}
	return text
}
