package sim

import (
	"bytes"
	"crypto/sha512"
	"io"
	"net/http"
	"strconv"
	"time"

	"postern/ews"
)

// disturb replaces the whole answer when the trouble at hand says so.
func (c *call) disturb() bool {
	switch code, where := c.trouble.wrong(); {
	case code != "" && where == InFault:
		c.fault(c.wrongFault(code))
	case code != "" && where == InHeader:
		c.w.Header().Set("X-CasErrorCode", code)
		c.page(http.StatusInternalServerError, "500 - Internal server error.")
	default:
		return c.turnAway() || c.mislead() || c.stall()
	}
	return true
}

// turnAway answers with what is no answer to the request, in the forms that servers and what
// stands in front of them have for it.
func (c *call) turnAway() bool {
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
		c.unauthorized(c.x.logOnNow().Schemes)
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
	case Forbidden:
		c.page(http.StatusForbidden, "403 - Forbidden: Access is denied.")
	case HTTPStatus:
		status, _ := strconv.Atoi(c.trouble.Code)
		if c.trouble.BackOff > 0 {
			h.Set("Retry-After", strconv.Itoa(max(1, int(c.trouble.BackOff.Seconds()))))
		}
		c.page(status, c.trouble.Code+" - "+http.StatusText(status))
	default:
		return false
	}
	return true
}

// mislead answers with HTTP 200 and a body that is not what it seems.
func (c *call) mislead() bool {
	switch c.trouble.Kind {
	case Garbage:
		c.headers()
		garbage := sha512.Sum512([]byte(c.requestID()))
		_, _ = c.w.Write(bytes.Repeat(garbage[:], 64))
	case HugeBody:
		c.headers()
		_, _ = io.WriteString(c.w, `<?xml version="1.0" encoding="utf-8"?><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><s:Fault><faultstring>`)
		zeros := bytes.Repeat([]byte("0"), 64<<10)
		for n := 0; n < 3<<30; n += len(zeros) {
			if _, err := c.w.Write(zeros); err != nil {
				break
			}
		}
		panic(http.ErrAbortHandler)
	default:
		return false
	}
	return true
}

// stall lets the client wait; false when the answer comes after all.
func (c *call) stall() bool {
	switch c.trouble.Kind {
	case Slow:
		if c.wait(c.trouble.delay()) {
			return false
		}
	case Hang:
		<-c.r.Context().Done()
	default:
		return false
	}
	panic(http.ErrAbortHandler) // nobody is there any more
}

// wait waits; false when the client has left.
func (c *call) wait(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-c.r.Context().Done():
		return false
	}
}

// wrongText goes with errors that trouble makes.
const wrongText = "The request could not be carried out."

func (c *call) wrongFault(code string) *ews.SOAPFault {
	f := fault(code, wrongText)
	f.XML = c.hints(code)
	return f
}

// wrongEntry is a response message with the error of the trouble at hand, nil if it is
// none of that sort.
func (c *call) wrongEntry() *ews.Result {
	code, where := c.trouble.wrong()
	if code == "" || where != InEntry {
		return nil
	}
	r := ews.Failed(code, wrongText)
	if code == "ErrorBatchProcessingStopped" {
		r.Class = ews.Warning
	}
	r.XML = c.hints(code)
	return &r
}

// hints are what the error carries for programs.
func (c *call) hints(code string) ews.MessageXML {
	switch {
	case code == "ErrorNonPrimarySmtpAddress" && c.box != nil:
		return ews.MessageXML{{Name: "Primary", Text: string(c.record.Mailbox)}}
	case code == "ErrorServerBusy" || c.trouble.BackOff > 0:
		return ews.MessageXML{{Name: "BackOffMilliseconds", Text: strconv.FormatInt(c.trouble.backOff().Milliseconds(), 10)}}
	}
	return nil
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
		spoil = func(answer []byte) []byte {
			if at := c.trouble.At; at > 0 {
				return answer[:min(at, len(answer))]
			}
			return answer[:len(answer)/2]
		}
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
