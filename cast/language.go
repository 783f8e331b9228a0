package cast

import (
	"fmt"
	"time"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/japanese"
)

// A language is that of a writer's mail program: its words around a quotation.
type language string

type words struct {
	answer                  string // prefix of an answer's subject
	from, sent, to, subject string
	date                    string            // layout of a time
	day                     string            // layout of a day in a sentence
	wrote                   string            // above a quotation in plain text: time, name
	charset                 string            // in which the program writes what it can
	encoding                encoding.Encoding // nil for UTF-8
}

var languages = map[language]words{
	"en": {"Re: ", "From", "Sent", "To", "Subject", "Monday, 2 January 2006 15:04", "2 January", "On %s, %s wrote:", "utf-8", nil},
	"de": {"AW: ", "Von", "Gesendet", "An", "Betreff", "02.01.2006 15:04", "02.01.2006", "Am %s schrieb %s:", "utf-8", nil},
	"fr": {"RE: ", "De", "Envoyé", "À", "Objet", "02/01/2006 15:04", "02/01", "Le %s, %s a écrit :", "utf-8", nil},
	"ja": {"Re: ", "差出人", "送信日時", "宛先", "件名", "2006年1月2日 15:04", "1月2日", "%s %s:", "iso-2022-jp", japanese.ISO2022JP},
}

func (l language) words() words {
	if l == "" {
		l = "en"
	}
	return languages[l]
}

func (l language) answer() string { return l.words().answer }

// wrote is the line above a quotation in plain text.
func (l language) wrote(when time.Time, name string) string {
	w := l.words()
	return fmt.Sprintf(w.wrote, when.Format(w.date), name)
}

// encode writes the text in the language's charset, or in UTF-8 when it has characters
// that the charset lacks, as mail programs do.
func (l language) encode(text string) (content []byte, charset string) {
	w := l.words()
	if w.encoding != nil {
		if b, err := w.encoding.NewEncoder().Bytes([]byte(text)); err == nil {
			return b, w.charset
		}
	}
	return []byte(text), "utf-8"
}
