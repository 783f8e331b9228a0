package ews

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"postern/crm"
)

// reactions is what is to be done about each answer of Exchange, by the number of its row
// in the reference: codes, verdict, what it stops ("asked": what was asked for), pause,
// cause.
const reactions = `
19 ErrorServerBusy | retry mailbox 0s throttled
21 ErrorInternalServerTransientError | retry mailbox 0s -
22 ErrorTooManyObjectsOpened | retry mailbox 30s throttled
23 ErrorExceededConnectionCount | retry mailbox 30s throttled
24 ErrorExceededSubscriptionCount | retry mailbox 1h0m0s -
25 ErrorExceededFindCountLimit | retry mailbox 10s throttled
26 ErrorTimeoutExpired | retry asked 0s -
27 ErrorConnectionFailed | retry mailbox 0s -
28 ErrorMailboxStoreUnavailable | retry mailbox 1m0s -
29 ErrorMailboxFailover | retry mailbox 1m0s moving
30 ErrorMailboxMoveInProgress | retry mailbox 15m0s moving
31 ErrorMailboxLogonFailed ErrorMailboxConfiguration | refused mailbox 1h0m0s unlicensed
32 ErrorADUnavailable ErrorADOperation | retry org 1m0s -
33 ErrorInsufficientResources ErrorNotEnoughMemory | retry org 1m0s throttled
34 ErrorNoRespondingCASInDestinationSite | retry mailbox 1m0s unreachable
34 ErrorServiceUnavailable | retry mailbox 1m0s -
35 ErrorProxyRequestNotAllowed | retry mailbox 5m0s moved-away
35 ErrorProxiedSubscriptionCallFailure ErrorReadEventsFailed | retry mailbox 0s -
36 ErrorBatchProcessingStopped | retry asked 0s -
37 ErrorAccessDenied | refused asked 0s not-permitted
38 ErrorImpersonateUserDenied ErrorImpersonationDenied | refused mailbox 0s not-permitted
39 ErrorImpersonationFailed | refused mailbox 0s not-permitted
40 ErrorInvalidExchangeImpersonationHeaderData | refused mailbox 0s -
41 ErrorNonPrimarySmtpAddress | refused mailbox 0s renamed
42 ErrorNonExistentMailbox | refused mailbox 0s no-mailbox
43 ErrorAccountDisabled | refused mailbox 0s disabled
44 ErrorPasswordExpired ErrorPasswordChangeRequired | reauth org 0s password-expired
45 ErrorItemNotFound | gone item 0s -
46 ErrorFolderNotFound ErrorSyncFolderNotFound ErrorParentFolderNotFound | gone folder 0s -
47 ErrorInvalidSyncStateData | resync folder 0s -
48 ErrorInvalidFolderId ErrorCannotUseItemIdForFolderId ErrorCannotUseFolderIdForItemId | gone asked 0s -
49 ErrorInvalidIdMalformed ErrorInvalidIdMalformedEwsLegacyIdFormat ErrorInvalidIdEmpty ErrorInvalidIdStoreObjectIdTooLong ErrorInvalidIdTooLong | gone item 0s -
50 ErrorInvalidSubscription ErrorSubscriptionNotFound ErrorExpiredSubscription ErrorSubscriptionUnsubscribed | retry mailbox 0s -
51 ErrorInvalidWatermark ErrorEventNotFound ErrorMissedNotificationEvents | retry mailbox 0s -
52 ErrorNewEventStreamConnectionOpened | retry mailbox 0s -
53 ErrorSubscriptionAccessDenied ErrorSubscriptionDelegateAccessNotSupported | refused mailbox 0s -
54 ErrorInvalidSubscriptionRequest | refused mailbox 0s -
55 ErrorSubscriptionIds | retry mailbox 0s -
56 ErrorCorruptData ErrorItemCorrupt | retry item 0s -
56 ErrorFolderCorrupt | retry folder 1h0m0s -
57 ErrorContentConversionFailed ErrorMimeContentConversionFailed ErrorUnsupportedMimeConversion | retry item 0s -
58 ErrorMimeContentInvalid ErrorMimeContentInvalidBase64String ErrorDataSizeLimitExceeded | retry item 0s -
59 ErrorMessageSizeExceeded ErrorAttachmentSizeLimitExceeded ErrorAttachmentNestLevelLimitExceeded | refused item 0s -
60 ErrorCannotOpenFileAttachment | retry item 0s -
60 ErrorInvalidAttachmentId | gone item 0s -
61 ErrorVirusDetected | refused item 0s -
61 ErrorVirusMessageDeleted | gone item 0s -
62 ErrorSomethingTransient ErrorStoreTimeoutOfSorts ErrorBackEndUnavailable | retry mailbox 0s -
62 ErrorForestBusy | retry mailbox 0s throttled
62 ErrorThatNobodyKnows | retry asked 0s -
63 ErrorObjectTypeChanged | retry item 0s -
64 ErrorInvalidPropertyRequest ErrorUnsupportedPathForQuery ErrorInvalidExtendedProperty ErrorInvalidExtendedPropertyValue | refused asked 0s -
65 ErrorRestrictionTooComplex ErrorRestrictionTooLong ErrorQueryFilterTooLong ErrorUnsupportedQueryFilter | refused asked 0s -
66 ErrorInvalidIndexedPagingParameters ErrorInvalidPagingMaxRows | retry asked 0s -
67 ErrorCalendarViewRangeTooBig ErrorCalendarFolderIsInvalidForCalendarView | refused asked 0s -
68 ErrorCalendarOccurrenceIsDeletedFromRecurrence ErrorCalendarOccurrenceIndexIsOutOfRecurrenceRange ErrorRecurrenceHasNoOccurrence | gone item 0s -
69 ErrorCalendarCannotMoveOrCopyOccurrence ErrorSendMeetingCancellationsRequired | refused asked 0s -
70 ErrorNameResolutionMultipleResults ErrorNameResolutionNoResults ErrorNameResolutionNoMailbox | gone item 0s -
71 ErrorIrresolvableConflict ErrorStaleObject ErrorChangeKeyRequired ErrorChangeKeyRequiredForWriteOperations | retry item 0s -
72 ErrorQuotaExceeded | retry asked 1h0m0s -
73 ErrorSchemaValidation ErrorInvalidRequest | refused asked 0s -
74 ErrorInvalidServerVersion ErrorIncorrectSchemaVersion ErrorInvalidSchemaVersionForMailboxVersion | refused mailbox 0s -
75 ErrorWrongServerVersion ErrorWrongServerVersionDelegate ErrorNoDestinationCASDueToVersionMismatch | refused mailbox 0s moved-away
76 ErrorRequestStreamTooBig | retry asked 0s -
77 ErrorArchiveMailboxNotEnabled ErrorArchiveMailboxServiceDiscoveryFailed ErrorArchiveMailboxSearchFailed | gone folder 0s -
78 ErrorPublicFolderRequestProcessingFailed ErrorNoPublicFolderReplicaAvailable | gone folder 0s -
79 ErrorMailboxHoldNotFound ErrorTokenSerializationDenied ErrorInvalidProxySecurityContext | refused asked 0s -
80 ErrorUserNotAllowedByPolicy ErrorOrganizationAccessBlocked | refused mailbox 0s unlicensed
81 ErrorTimeZone ErrorInvalidTimeInterval ErrorInvalidValueForProperty | refused asked 0s -
82 ErrorClientDisconnected | retry asked 0s -
83 ErrorMailboxScopeNotAllowedWithoutQueryString ErrorSearchTooManyMailboxes | refused asked 0s -
84 ErrorMessagePerFolderCountReceiveQuotaExceeded | retry asked 1h0m0s -
85 ErrorMissingEmailAddress | refused mailbox 0s -
`

// TestReactions sends each code twice, as a fault of the whole request and as the answer
// about one item, and holds the verdict against the table.
func TestReactions(t *testing.T) {
	var code string
	var whole bool
	s := newServer(t, func(*Request) ([]Answer, *SOAPFault) {
		if whole {
			return nil, &SOAPFault{Code: code, Text: "auf Deutsch"}
		}
		return []Answer{&FoldersResult{Result: Failed(code, "auf Deutsch")}}, nil
	})
	settings := s.settings()
	src, err := open(settings, direct{crm.Unpaced{}, settings})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	n := 0
	for line := range strings.Lines(strings.TrimSpace(reactions)) {
		left, right, _ := strings.Cut(strings.TrimSpace(line), " | ")
		fields := strings.Fields(left)
		for _, code = range fields[1:] {
			for _, whole = range []bool{true, false} {
				ss := &Session{c: src.client, mailbox: "ann@example.com", primary: "ann@example.com", rank: len(schemas) - 1, proven: true}
				answers, err := ss.GetFolder(t.Context(), rootFolder())
				asked := crm.MailboxScope
				if !whole {
					if err != nil {
						t.Fatalf("%s: %v", code, err)
					}
					err, asked = answers[0].Err(), crm.ItemScope
				}
				f := src.fault(err, asked)
				want := code + " " + strings.Replace(right, "asked", string(asked), 1)
				if got := said(f); got != want {
					t.Errorf("row %s, of the whole %v: got %s, want %s", fields[0], whole, got, want)
				}
				if f.Message == "" || f.Advice == "" {
					t.Errorf("%s: no words", code)
				}
				n++
			}
		}
	}
	if n < 200 {
		t.Errorf("only %d answers", n)
	}
}

// TestReactionsBelowExchange are answers of web servers, gateways and networks: row of the
// reference, answer, and what is to be made of it.
func TestReactionsBelowExchange(t *testing.T) {
	const page = "<!DOCTYPE html><html><body>Anmelden</body></html>"
	html := []string{"Content-Type", "text/html"}
	for _, tt := range []struct {
		row    string
		status int
		header []string
		body   string
		want   string // code verdict scope after cause
	}{
		{"1", 200, html, page, "not-exchange-web-page refused org 0s unreachable"},
		{"1 redirect", 302, []string{"Location", "/owa/auth/logon.aspx"}, "", "logon-page refused org 0s unreachable"},
		{"2", 302, []string{"Location", "/ews/genericerrorpage.htm"}, "", "server-error-page retry org 1m0s unreachable"},
		{"3", 400, nil, "", "bad-request retry mailbox 1m0s -"},
		{"4", 401, []string{"WWW-Authenticate", "Basic"}, "", "password-refused reauth org 0s password-refused"},
		{"6", 403, nil, "", "ews-blocked refused mailbox 1h0m0s blocked-by-policy"},
		{"7", 404, html, page, "no-ews-here refused org 0s unreachable"},
		{"8 proxy", 407, nil, "", "proxy-logon refused org 0s unreachable"},
		{"8 too large", 413, nil, "", "request-too-large retry mailbox 0s -"},
		{"9", 421, nil, "", "http-421 retry mailbox 0s -"},
		{"10", 429, []string{"Retry-After", "77"}, "", "too-many-requests retry mailbox 1m17s throttled"},
		{"11", 440, html, page, "owa-not-ews refused org 0s unreachable"},
		{"12", 449, nil, "", "activesync-not-ews refused org 0s unreachable"},
		{"13", 456, nil, "", "account-blocked reauth org 0s password-refused"},
		{"15", 500, html, "Server Error in '/EWS' Application", "server-error-page retry org 1m0s unreachable"},
		{"16", 500, []string{"X-CasErrorCode", "ErrorMailboxMoveInProgress"}, "", "ErrorMailboxMoveInProgress retry mailbox 15m0s moving"},
		{"17", 502, nil, "", "http-502 retry mailbox 10s unreachable"},
		{"17 time-out", 504, nil, "", "http-504 retry mailbox 10s unreachable"},
		{"18", 503, nil, "", "service-unavailable retry org 10s throttled"},
		{"86 no answers", 200, nil, `<s:Envelope xmlns:s="` + nsSOAP + `"><s:Body><m:GetFolderResponse xmlns:m="` + nsMessages + `"/></s:Body></s:Envelope>`, "count-mismatch retry mailbox 0s -"},
	} {
		t.Run(tt.row, func(t *testing.T) {
			s := newServer(t, anything)
			s.before = func(w http.ResponseWriter, r *http.Request) bool {
				for i := 0; i < len(tt.header); i += 2 {
					w.Header().Set(tt.header[i], tt.header[i+1])
				}
				w.WriteHeader(tt.status)
				io.WriteString(w, tt.body)
				return true
			}
			if got := said(judge{}.fault(ask(s.client(t), "ann@example.com"), crm.MailboxScope)); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

// said is a fault without its words.
func said(f *crm.Fault) string {
	cause := string(f.Cause)
	if cause == "" {
		cause = "-"
	}
	return fmt.Sprintf("%s %s %s %s %s", f.Code, f.Verdict, f.Scope, f.After, cause)
}

// TestUnknownMailboxIsNotTheWrongAddress: where Exchange has answered before, a 404 is
// about the mailbox; and in the cloud a 503 is.
func TestUnknownMailboxIsNotTheWrongAddress(t *testing.T) {
	s := newServer(t, anything)
	c := s.client(t)
	if err := ask(c, "bob@example.com"); err != nil {
		t.Fatal(err)
	}
	status := 404
	s.before = func(w http.ResponseWriter, r *http.Request) bool { w.WriteHeader(status); return true }
	if got, want := said(verdict(ask(c, "ann@example.com"))), "no-mailbox-here refused mailbox 1h0m0s moved-away"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	status = 503
	if got, want := said(judge{version: versionOnline}.fault(ask(c, "ann@example.com"), crm.MailboxScope)), "service-unavailable retry mailbox 10s throttled"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := said(judge{version: "Exchange2010"}.fault(&Error{Code: "ErrorExceededConnectionCount"}, crm.MailboxScope)), "ErrorExceededConnectionCount retry org 30s throttled"; got != want {
		t.Errorf("an old server charges the account: got %s, want %s", got, want)
	}
}

// TestNobodyAnswers: row 9 and what comes before any answer.
func TestNobodyAnswers(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := "http://" + l.Addr().String()
	l.Close()
	for url, want := range map[string]string{
		closed: "port-closed retry org 1m0s unreachable",
		hangsUp(t, "HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: 1000\r\n\r\n<s:Envelope"): "torn-answer retry mailbox 0s -",
		hangsUp(t, ""): "torn-answer retry mailbox 0s -",
	} {
		c, err := New(Config{URL: url, UserAgent: named("x"), Dial: dialer})
		if err != nil {
			t.Fatal(err)
		}
		if got := said(verdict(ask(c, "ann@example.com"))); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		c.Close()
	}
}

// hangsUp starts a server that answers every request with this text and hangs up.
func hangsUp(t *testing.T, answer string) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conn.Read(make([]byte, 64<<10))
			io.WriteString(conn, answer)
			conn.Close()
		}
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
	return "http://" + l.Addr().String()
}
