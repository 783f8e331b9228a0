package sim

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"postern/ews"
)

// disturb replaces the whole answer when the trouble at hand says so.
func (c *call) disturb() bool {
	h := c.w.Header()
	millis := strconv.FormatInt(c.trouble.backOff().Milliseconds(), 10)
	switch c.trouble.Kind {
	case Busy503Hint:
		h.Set("Retry-After", strconv.Itoa(max(1, int(c.trouble.backOff().Seconds()))))
		fallthrough
	case Busy503:
		c.page(http.StatusServiceUnavailable, "Service Unavailable")
	case BusyFault:
		f := fault("ErrorServerBusy", "The server cannot service this request right now. Try again later.")
		f.XML = ews.MessageXML{{Name: "Policy", Text: "EWSMaxConcurrency"}, {Name: "BackOffMilliseconds", Text: millis}}
		c.fault(f)
	case BusyInner:
		r := ews.Failed("ErrorInternalServerError", "An internal server error occurred. The operation failed.")
		r.XML = ews.MessageXML{{Name: "InnerErrorResponseCode", Text: "ErrorServerBusy"}, {Name: "BackOffMilliseconds", Text: millis}}
		answers := make([]ews.Answer, c.parts())
		for i := range answers {
			answers[i] = c.failure(r)
		}
		c.reply(answers)
	case Busy401:
		c.unauthorized()
	case BareFault:
		c.record.Code = "ErrorServerBusy"
		c.send(http.StatusOK, func(w io.Writer) error {
			_, err := io.WriteString(w, `<?xml version="1.0" encoding="utf-8"?><soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/">`+
				`<soap:Body><soap:Fault><faultcode>ErrorServerBusy</faultcode><faultstring>The server is busy.</faultstring></soap:Fault></soap:Body></soap:Envelope>`)
			return err
		})
	case WebPage:
		c.page(http.StatusOK, "Outlook")
	case LogonRedirect:
		h.Set("Location", "/owa/auth/logon.aspx?url=%2fews%2fExchange.asmx&reason=0")
		c.page(http.StatusFound, "Object moved")
	case ErrorRedirect:
		h.Set("Location", "/ews/genericerrorpage.htm?aspxerrorpath=/ews/exchange.asmx")
		c.page(http.StatusFound, "Object moved")
	case LoginTimeout:
		c.page(440, "440 - Login Timeout")
	case NotFound:
		c.page(http.StatusNotFound, "404 - File or directory not found.")
	case ServerCrash:
		c.page(http.StatusInternalServerError, "Server Error in '/EWS' Application.")
	case GatewayTimeout:
		c.page(http.StatusGatewayTimeout, "504 - Gateway Timeout")
	default:
		return false
	}
	return true
}

// forbidden are characters that XML does not allow and that mail contains: what they look
// like as bytes and as references.
const (
	forbiddenBytes      = "\x0b\x01\xef\xbf\xbe"
	forbiddenReferences = "&#xB;&#x0;&#xFFFE;&#xD83D;&#xDE00;"
)

// spoilt returns write with the trouble at hand done to the finished answer. Trouble
// that needs only a part of the answer leaves it alone.
func (c *call) spoilt(answers []ews.Answer, write func(io.Writer) error) func(io.Writer) error {
	var spoil func([]byte) []byte
	switch c.trouble.Kind {
	case Miscount:
		return func(w io.Writer) error {
			return ews.WriteResponse(w, c.x.serverVersion(), c.record.Operation, answers[:len(answers)-1]...)
		}
	case Torn:
		spoil = func(answer []byte) []byte { return answer[:len(answer)/2] }
	case ForbiddenRaw:
		spoil = func(answer []byte) []byte { return intoText(answer, forbiddenBytes) }
	case ForbiddenReferences:
		spoil = func(answer []byte) []byte { return intoText(answer, forbiddenReferences) }
	default:
		return write
	}
	return func(w io.Writer) error {
		var answer bytes.Buffer
		if err := write(&answer); err != nil {
			return err
		}
		if _, err := w.Write(spoil(answer.Bytes())); err != nil {
			return err
		}
		if c.trouble.Kind == Torn {
			// What is there goes out, and the connection ends without the last chunk.
			_ = http.NewResponseController(c.w).Flush()
			panic(http.ErrAbortHandler)
		}
		return nil
	}
}

// intoText puts characters in front of each subject and text body of an answer.
func intoText(answer []byte, characters string) []byte {
	for _, tag := range []string{"<t:Subject>", `<t:Body BodyType="Text">`, `<t:Body BodyType="HTML">`} {
		answer = bytes.ReplaceAll(answer, []byte(tag), []byte(tag+characters))
	}
	return answer
}

// busyEntry is a response message of a server that is too busy for one part of a request.
func (t *Trouble) busyEntry() ews.Result {
	r := ews.Failed("ErrorServerBusy", "The server cannot service this request right now. Try again later.")
	r.XML = ews.MessageXML{{Name: "BackOffMilliseconds", Text: fmt.Sprint(t.backOff().Milliseconds())}}
	return r
}
