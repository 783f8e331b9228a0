package ews

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"

	"postern/crm"
)

// A ruling is what an error means and what to do about it. Without a scope, it stops as
// much as was asked for: the item, the folder or the mailbox.
type ruling struct {
	verdict crm.Verdict
	scope   crm.Scope
	after   time.Duration
	message string
	advice  string
}

// Advice given more than once.
const (
	itself    = "Nothing to do: it is tried again by itself."
	ourFault  = "Please report this: it is an error in this program, not in your Exchange."
	askServer = "Ask whoever runs the Exchange server to look into its state; it is tried again by itself."
	fixURL    = "Enter the address of the EWS endpoint, usually https://HOST/EWS/Exchange.asmx, as the server; it must be reachable without a log-on page in front."
)

// codes is the table of Exchange's response codes. Codes of one meaning share a row.
//
// https://learn.microsoft.com/en-us/exchange/client-developer/web-service-reference/responsecode
var codes = byCode([]struct {
	codes string
	ruling
}{
	// Busy: the scope is left alone as long as the server asks, or longer each time.
	{"ErrorServerBusy", ruling{crm.Retry, crm.MailboxScope, 0, "Exchange is busy and asks to be left alone for a while.", itself}},
	{"ErrorInternalServerTransientError", ruling{crm.Retry, crm.MailboxScope, 0, "Exchange had a passing error.", itself}},
	{"ErrorTooManyObjectsOpened", ruling{crm.Retry, crm.MailboxScope, 30 * time.Second, "The mailbox has too many things open on the server.", itself}},
	{"ErrorExceededConnectionCount", ruling{crm.Retry, crm.OrgScope, 30 * time.Second, "The account has too many connections to Exchange.", "Use an account of its own for this program, or read fewer mailboxes at once."}},
	{"ErrorExceededFindCountLimit", ruling{crm.Retry, crm.MailboxScope, 10 * time.Second, "Exchange limits how many items may be listed at once.", itself}},
	{"ErrorExceededSubscriptionCount", ruling{crm.Retry, crm.MailboxScope, time.Hour, "The mailbox has too many subscriptions.", itself}},
	{"ErrorTimeoutExpired ErrorClientDisconnected", ruling{crm.Retry, "", 0, "Exchange needed too long for the answer.", itself}},
	{"ErrorConnectionFailed", ruling{crm.Retry, crm.MailboxScope, 0, "Exchange could not reach the mailbox's database.", itself}},
	{"ErrorMailboxStoreUnavailable", ruling{crm.Retry, crm.MailboxScope, time.Minute, "The mailbox's database is down, moving or overloaded.", askServer}},
	{"ErrorMailboxFailover", ruling{crm.Retry, crm.MailboxScope, time.Minute, "The mailbox's database is moving to another server.", itself}},
	{"ErrorMailboxMoveInProgress", ruling{crm.Retry, crm.MailboxScope, 15 * time.Minute, "The mailbox is being moved.", itself}},
	{"ErrorADUnavailable ErrorADOperation", ruling{crm.Retry, crm.OrgScope, time.Minute, "Exchange cannot reach its directory.", askServer}},
	{"ErrorInsufficientResources ErrorNotEnoughMemory", ruling{crm.Retry, crm.OrgScope, time.Minute, "The Exchange server is overloaded.", askServer}},
	{"ErrorNoRespondingCASInDestinationSite ErrorServiceUnavailable", ruling{crm.Retry, crm.MailboxScope, time.Minute, "The site of this mailbox does not answer.", askServer}},
	{"ErrorProxyRequestNotAllowed", ruling{crm.Retry, crm.MailboxScope, 5 * time.Minute, "The mailbox lives on another server, which this one may not ask.", "If it stays, enter the server on which this mailbox lives."}},
	{"ErrorInternalServerError", ruling{crm.Retry, "", 0, "Exchange reports an error of its own.", itself}},
	{"ErrorBatchProcessingStopped", ruling{crm.Retry, "", 0, "Exchange stopped before it came to this.", itself}},

	// Who may do what.
	{"ErrorAccessDenied", ruling{crm.Refused, "", 0, "The account has no right to read this.", "Give the account the right to read the mailbox, or leave the mailbox out."}},
	{"ErrorImpersonateUserDenied ErrorImpersonationDenied ErrorImpersonationFailed", ruling{crm.Refused, crm.MailboxScope, 0, "The account may not impersonate this mailbox.", ""}},
	{"ErrorInvalidExchangeImpersonationHeaderData", ruling{crm.Refused, crm.MailboxScope, 0, "Exchange does not accept the address to impersonate.", "Check the user's address."}},
	{"ErrorNonPrimarySmtpAddress", ruling{crm.Refused, crm.MailboxScope, 0, "The address is an alias; Exchange wants the mailbox's primary address.", "Enter the user's primary address."}},
	{"ErrorNonExistentMailbox", ruling{crm.Refused, crm.MailboxScope, 0, "There is no mailbox with this address on this Exchange.", "Check the user's address; if the mailbox is in the cloud or on another server, it needs a connection of its own."}},
	{"ErrorMissingEmailAddress", ruling{crm.Refused, crm.MailboxScope, 0, "The account has no mailbox of its own, which Exchange asks of whoever does not impersonate.", "Give the account a mailbox: Enable-Mailbox ACCOUNT; or let it impersonate the owners."}},
	{"ErrorAccountDisabled", ruling{crm.Refused, crm.MailboxScope, 0, "The mailbox's account is disabled.", "Enable the account in the directory, or make the user inactive."}},
	{"ErrorMailboxLogonFailed ErrorMailboxConfiguration", ruling{crm.Refused, crm.MailboxScope, time.Hour, "The mailbox is broken or disabled.", "Ask whoever runs Exchange to repair the mailbox."}},
	{"ErrorPasswordExpired ErrorPasswordChangeRequired", ruling{crm.Reauth, crm.OrgScope, 0, "The account's password has expired.", "Set a new password for the account and enter it in the Email settings."}},
	{"ErrorUserNotAllowedByPolicy ErrorOrganizationAccessBlocked", ruling{crm.Refused, crm.MailboxScope, 0, "A policy of the Exchange organization forbids access.", "Allow EWS for this program: Set-OrganizationConfig -EwsEnabled:$true, and see Get-CASMailbox ADDRESS | Format-List Ews*."}},

	// What is not there (any more).
	{"ErrorItemNotFound", ruling{crm.Gone, crm.ItemScope, 0, "The item was deleted or moved.", itself}},
	{"ErrorObjectTypeChanged", ruling{crm.Retry, crm.ItemScope, 0, "The item has just become one of another kind.", itself}},
	{"ErrorFolderNotFound ErrorSyncFolderNotFound ErrorParentFolderNotFound", ruling{crm.Gone, crm.FolderScope, 0, "The folder was deleted.", itself}},
	{"ErrorInvalidSyncStateData", ruling{crm.Resync, crm.FolderScope, 0, "Exchange no longer knows how far this folder was read.", "Nothing to do: the folder is listed anew, and nothing is filed twice."}},
	{"ErrorInvalidId", ruling{crm.Gone, crm.ItemScope, 0, "Exchange does not know this id; the mailbox may have been restored.", itself}},
	{"ErrorInvalidFolderId ErrorCannotUseItemIdForFolderId ErrorCannotUseFolderIdForItemId", ruling{crm.Gone, "", 0, "Exchange takes this id for that of something else.", ourFault}},

	// One item that Exchange itself cannot read.
	{"ErrorCorruptData ErrorItemCorrupt", ruling{crm.Retry, crm.ItemScope, 0, "The item is damaged in Exchange.", "It is tried again with growing pauses. If it matters, open it in Outlook and save it anew."}},
	{"ErrorFolderCorrupt", ruling{crm.Retry, crm.FolderScope, time.Hour, "The folder is damaged in Exchange.", "Ask whoever runs Exchange for New-MailboxRepairRequest."}},
	{"ErrorContentConversionFailed ErrorMimeContentConversionFailed ErrorUnsupportedMimeConversion", ruling{crm.Retry, crm.ItemScope, 0, "Exchange cannot convert the item.", itself}},
	{"ErrorMimeContentInvalid ErrorDataSizeLimitExceeded", ruling{crm.Retry, crm.ItemScope, 0, "The item is too large or its content is damaged.", itself}},
	{"ErrorMessageSizeExceeded ErrorAttachmentSizeLimitExceeded ErrorAttachmentNestLevelLimitExceeded", ruling{crm.Refused, crm.ItemScope, 0, "The item exceeds a limit of Exchange.", "Nothing to do here; the limits are the Exchange administrator's."}},
	{"ErrorCannotOpenFileAttachment", ruling{crm.Retry, crm.ItemScope, 0, "Exchange cannot open the attachment.", itself}},
	{"ErrorInvalidAttachmentId ErrorAttachmentNotFound", ruling{crm.Gone, crm.ItemScope, 0, "The attachment's id is no longer valid, because the item has changed.", itself}},
	{"ErrorVirusDetected", ruling{crm.Refused, crm.ItemScope, 0, "Refused by the virus scanner of Exchange.", "Nothing to do: the scanner of Exchange holds it back."}},
	{"ErrorVirusMessageDeleted", ruling{crm.Gone, crm.ItemScope, 0, "Deleted by the virus scanner of Exchange.", itself}},
	{"ErrorCalendarOccurrenceIsDeletedFromRecurrence ErrorCalendarOccurrenceIndexIsOutOfRecurrenceRange ErrorRecurrenceHasNoOccurrence", ruling{crm.Gone, crm.ItemScope, 0, "The meeting no longer takes place on that day.", itself}},

	// Subscriptions and paging.
	{"ErrorInvalidSubscription ErrorInvalidPullSubscriptionId ErrorSubscriptionNotFound ErrorExpiredSubscription ErrorSubscriptionUnsubscribed ErrorInvalidWatermark ErrorEventNotFound ErrorMissedNotificationEvents ErrorSubscriptionIds", ruling{crm.Retry, crm.MailboxScope, 0, "The subscription to the mailbox's changes has ended.", itself}},
	{"ErrorProxiedSubscriptionCallFailure ErrorReadEventsFailed", ruling{crm.Retry, crm.MailboxScope, 0, "The subscription to the mailbox's changes lies on another server than was asked.", itself}},
	{"ErrorNewEventStreamConnectionOpened", ruling{crm.Retry, crm.MailboxScope, 0, "Another connection for the same subscriptions was opened.", itself}},
	{"ErrorSubscriptionAccessDenied ErrorSubscriptionDelegateAccessNotSupported ErrorInvalidSubscriptionRequest", ruling{crm.Refused, crm.MailboxScope, 0, "The account may not subscribe to changes of this mailbox.", "Nothing to do: the mailbox is polled instead."}},
	{"ErrorInvalidIndexedPagingParameters ErrorInvalidPagingMaxRows", ruling{crm.Retry, "", 0, "The list became shorter while it was read.", itself}},
	{"ErrorMessagePerFolderCountReceiveQuotaExceeded ErrorQuotaExceeded", ruling{crm.Retry, "", time.Hour, "The mailbox or folder is full.", "Make room in the mailbox; reading goes on."}},
	{"ErrorIrresolvableConflict ErrorStaleObject ErrorChangeKeyRequired ErrorChangeKeyRequiredForWriteOperations", ruling{crm.Retry, crm.ItemScope, 0, "The item was changed at the same time.", itself}},
	{"ErrorNameResolutionMultipleResults ErrorNameResolutionNoResults ErrorNameResolutionNoMailbox", ruling{crm.Gone, crm.ItemScope, 0, "The directory has no single entry of this name.", itself}},
	{"ErrorArchiveMailboxNotEnabled ErrorArchiveMailboxServiceDiscoveryFailed ErrorArchiveMailboxSearchFailed ErrorPublicFolder ErrorNoPublicFolderReplicaAvailable", ruling{crm.Gone, crm.FolderScope, 0, "The archive or public folder cannot be read from here.", "Nothing to do: it is left out."}},

	// Versions and requests.
	{"ErrorInvalidServerVersion ErrorIncorrectSchemaVersion ErrorInvalidSchemaVersionForMailboxVersion", ruling{crm.Refused, crm.MailboxScope, 0, "The server takes none of the versions that this program speaks.", "Exchange 2007 SP1 or later is needed."}},
	{"ErrorWrongServerVersion ErrorWrongServerVersionDelegate ErrorNoDestinationCASDueToVersionMismatch", ruling{crm.Refused, crm.MailboxScope, 0, "The mailbox lives on a server of another version, which this one cannot ask.", "Enter a server of the newest version that you have, or the one on which the mailbox lives."}},
	{"ErrorRequestStreamTooBig", ruling{crm.Retry, "", 0, "The request was too large for this server.", itself}},
	{"ErrorSchemaValidation ErrorInvalidRequest ErrorInvalidPropertyRequest ErrorUnsupportedPathForQuery ErrorInvalidExtendedProperty ErrorRestrictionTooComplex ErrorRestrictionTooLong ErrorQueryFilterTooLong ErrorUnsupportedQueryFilter ErrorCalendarViewRangeTooBig ErrorCalendarFolderIsInvalidForCalendarView ErrorCalendarCannotMoveOrCopyOccurrence ErrorTimeZone ErrorInvalidTimeInterval ErrorInvalidValueForProperty ErrorSendMeeting ErrorTokenSerializationDenied ErrorInvalidProxySecurityContext ErrorMailboxScopeNotAllowedWithoutQueryString ErrorSearchTooManyMailboxes ErrorMailboxHoldNotFound", ruling{crm.Refused, "", 0, "Exchange does not accept the request.", ourFault}},
})

func byCode(rows []struct {
	codes string
	ruling
}) map[string]ruling {
	m := make(map[string]ruling)
	for _, row := range rows {
		for code := range strings.FieldsSeq(row.codes) {
			m[code] = row.ruling
		}
	}
	return m
}

// ofCode finds the ruling on a response code, also on one that no table knows.
func ofCode(code string) ruling {
	if r, ok := codes[code]; ok {
		return r
	}
	for _, family := range [...]string{"ErrorInvalidId", "ErrorMimeContentInvalid", "ErrorPublicFolder", "ErrorInvalidExtendedProperty", "ErrorSendMeeting", "ErrorArchiveMailbox"} {
		if strings.HasPrefix(code, family) {
			return codes[family]
		}
	}
	for _, word := range [...]string{"Transient", "Busy", "Timeout", "Unavailable"} {
		if strings.Contains(code, word) {
			return ruling{crm.Retry, crm.MailboxScope, 0, "Exchange has a passing trouble.", itself}
		}
	}
	return ruling{crm.Retry, "", 0, "Exchange reports an error that this program does not know.", itself + " If it stays, look the code up at Microsoft."}
}

// causes names what lies behind a code, ours included, where that has a name.
var causes = byCause([]struct {
	cause crm.Cause
	codes string
}{
	{crm.Throttled, "ErrorServerBusy ErrorTooManyObjectsOpened ErrorExceededConnectionCount ErrorExceededFindCountLimit ErrorInsufficientResources ErrorNotEnoughMemory too-many-requests service-unavailable logon-failed"},
	{crm.Moving, "ErrorMailboxMoveInProgress ErrorMailboxFailover"},
	{crm.MovedAway, "ErrorProxyRequestNotAllowed ErrorWrongServerVersion ErrorWrongServerVersionDelegate ErrorNoDestinationCASDueToVersionMismatch no-mailbox-here"},
	{crm.Renamed, "ErrorNonPrimarySmtpAddress"},
	{crm.NoMailbox, "ErrorNonExistentMailbox"},
	{crm.Disabled, "ErrorAccountDisabled"},
	{crm.Unlicensed, "ErrorMailboxLogonFailed ErrorMailboxConfiguration ErrorUserNotAllowedByPolicy ErrorOrganizationAccessBlocked ews-forbidden"},
	{crm.BlockedByPolicy, "ews-blocked"},
	{crm.NotPermitted, "ErrorAccessDenied ErrorImpersonateUserDenied ErrorImpersonationDenied ErrorImpersonationFailed"},
	{crm.PasswordExpired, "ErrorPasswordExpired ErrorPasswordChangeRequired"},
	{crm.PasswordRefused, "password-refused account-blocked"},
	{crm.Unreachable, "ErrorNoRespondingCASInDestinationSite dns-unknown dns-trouble port-closed unreachable network timeout stream-silent tls-name-wrong tls-unknown-authority tls-expired tls-hung-up tls-failed http-502 http-504 server-error-page not-exchange-web-page logon-page no-ews-here owa-not-ews activesync-not-ews proxy-logon"},
})

func byCause(rows []struct {
	cause crm.Cause
	codes string
}) map[string]crm.Cause {
	m := make(map[string]crm.Cause)
	for _, row := range rows {
		for code := range strings.FieldsSeq(row.codes) {
			m[code] = row.cause
		}
	}
	return m
}

// causeOf finds the cause behind a code. One that no table knows may say it by its name.
func causeOf(code string) crm.Cause {
	if _, known := codes[code]; !known && strings.HasPrefix(code, "Error") && strings.Contains(code, "Busy") {
		return crm.Throttled
	}
	return causes[code]
}

// A judge turns errors into faults, with advice for the connection at hand.
type judge struct {
	version string // of the server, one of versions
	login   string
	host    string
	model   crm.AuthModel
	several bool // accounts: what befalls one does not concern the mailboxes of the others
}

// fault judges an error of a call; scope is how much was asked for.
//
// A refused account stops the connection where it is the only one. Of several, its client
// remembers the refusal and answers all its mailboxes with it, without another try.
func (j judge) fault(err error, scope crm.Scope) *crm.Fault {
	f := j.judged(err, scope)
	if j.several && f.Scope == crm.OrgScope && ofAccount(f) {
		f.Scope = crm.MailboxScope
	}
	if j.model == crm.ByOwnSignIn && f.Verdict == crm.Reauth {
		f.Advice = "The user enters login and password anew under My Emails → My mailbox. They are not tried again until then, so that the account is not locked."
	}
	return f
}

// ofAccount tells whether a fault is about the account that was shown to the server.
func ofAccount(f *crm.Fault) bool {
	return f.Verdict == crm.Reauth || f.Code == "logon-failed" || f.Code == "ErrorExceededConnectionCount"
}

func (j judge) judged(err error, scope crm.Scope) *crm.Fault {
	if f, ok := errors.AsType[*crm.Fault](err); ok {
		return f
	}
	e, ok := errors.AsType[*Error](err)
	switch {
	case !ok:
		e = &Error{Err: err}
	case strings.HasPrefix(e.Code, "Error"):
		return j.byCode(e, scope)
	}
	code, r := j.below(e)
	if r.scope == "" {
		r.scope = scope
	}
	return &crm.Fault{
		Verdict: r.verdict, Scope: r.scope, After: max(r.after, e.After), Code: code,
		Message: r.message, Advice: r.advice, Cause: causeOf(code), Err: err,
	}
}

// byCode judges by Exchange's own code.
func (j judge) byCode(e *Error, scope crm.Scope) *crm.Fault {
	code := e.inner()
	r := ofCode(code)
	if code == "ErrorExceededConnectionCount" && versionIndex(j.version) >= versionIndex("Exchange2013") {
		r.scope = crm.MailboxScope // whom newer servers charge; older ones charge the account
	}
	f := &crm.Fault{
		Verdict: r.verdict, Scope: cmp.Or(r.scope, scope), After: max(r.after, e.After), Code: code,
		Message: r.message, Advice: r.advice, Cause: causeOf(code), Err: e,
	}
	if f.Advice == "" {
		f.Advice = j.impersonation(e.Mailbox)
	}
	if j.model == crm.ByDelegation && (code == "ErrorAccessDenied" || code == "ErrorFolderNotFound" && scope == crm.MailboxScope) {
		f.Advice = j.delegation(e.Mailbox)
	}
	return f
}

// impersonation says how to let the account impersonate the mailbox, on the version of
// Exchange at hand.
//
// https://learn.microsoft.com/en-us/exchange/client-developer/exchange-web-services/how-to-configure-impersonation
func (j judge) impersonation(mailbox string) string {
	account := cmp.Or(j.login, "ACCOUNT")
	if _, user, ok := strings.Cut(account, `\`); ok {
		account = user
	}
	switch j.version {
	case version2007:
		return fmt.Sprintf(`In the Exchange Management Shell: Get-ClientAccessServer | %% { Add-ADPermission -Identity $_.DistinguishedName -User %[1]q -ExtendedRights ms-Exch-EPI-Impersonation }; Add-ADPermission -Identity (Get-Mailbox %[2]q).DistinguishedName -User %[1]q -ExtendedRights ms-Exch-EPI-May-Impersonate`, account, cmp.Or(mailbox, "MAILBOX"))
	}
	return fmt.Sprintf(`In the Exchange Management Shell: New-ManagementRoleAssignment -Name "Postern impersonation" -Role ApplicationImpersonation -User %q -CustomRecipientWriteScope "Postern mailboxes"; better run grant from Access → For the Exchange admin, which makes that scope and can be undone. If it was run, check that the mailbox is in its group. It can take up to an hour until it works.`, account)
}

// delegation says how to open a mailbox to the account.
func (j judge) delegation(mailbox string) string {
	return fmt.Sprintf(`In the Exchange Management Shell: Add-MailboxPermission %q -User %q -AccessRights FullAccess -AutoMapping:$false; or share the folders with the account in Outlook, as Reviewer.`,
		cmp.Or(mailbox, "MAILBOX"), cmp.Or(j.login, "ACCOUNT"))
}

// below judges what went wrong below Exchange: the answer of a web server, or none.
func (j judge) below(e *Error) (string, ruling) {
	switch err := e.Err; {
	case errors.Is(err, context.Canceled), errors.Is(err, ErrUndecided):
		return "cancelled", ruling{crm.Retry, "", 0, "The work was ended from our side.", itself}
	case errors.Is(err, ErrPasswordRefused):
		return "password-refused", ruling{crm.Reauth, crm.OrgScope, 0, "The server refuses the login or the password.", "Enter the account's login (DOMAIN\\user or user@domain) and password anew. It is not tried again until then, so that the account is not locked."}
	case errors.Is(err, ErrLogonFailed):
		return "logon-failed", ruling{crm.Retry, crm.OrgScope, time.Minute, "The server refused a login that it took before, as servers do under load.", itself}
	case errors.Is(err, ErrNoScheme), errors.Is(err, ErrDowngrade), errors.Is(err, ErrCertificateRefused):
		return j.unanswered(err)
	case errors.Is(err, errRealm):
		return "kerberos-settings", ruling{crm.Refused, crm.OrgScope, 0, "The Kerberos realm or the keytab in the settings cannot be used.", "Enter both anew in the Email settings: the realm as in krb5.conf, the keytab in base64."}
	case errors.Is(err, errNoCentre):
		return "kerberos-unreachable", ruling{crm.Retry, crm.OrgScope, time.Minute, "None of the Kerberos servers in the settings answers.", "Check the names of the servers (kdc) in the Email settings, and that port 88 (TCP) is open to them; it is tried again by itself."}
	case isTicket(err):
		return j.ticketless(err)
	case errors.Is(err, ErrCount):
		return "count-mismatch", ruling{crm.Retry, "", 0, "Exchange gave another number of answers than was asked for.", itself}
	case errors.Is(err, errSilent):
		return "stream-silent", ruling{crm.Retry, "", 0, "The connection for notifications fell silent: there was not even a sign of life.", itself}
	case errors.Is(err, ErrOldServer), errors.Is(err, errNoNotifications):
		return "no-notifications", ruling{crm.Refused, crm.MailboxScope, 0, "The server does not tell of changes in this mailbox.", "Nothing to do: the mailbox is looked at regularly instead."}
	case errors.Is(err, ErrAnswerSize):
		return "answer-too-large", ruling{crm.Refused, "", 0, "The answer is larger than is accepted.", ourFault}
	}
	if e.Status == 0 {
		return j.network(e.Err)
	}
	return j.http(e)
}

// unanswered judges offers to log on that were not answered: no credentials were sent.
func (j judge) unanswered(err error) (string, ruling) {
	offer, _ := errors.AsType[*OfferError](err)
	if offer == nil {
		offer = &OfferError{Err: err}
	}
	offered := "nothing"
	if len(offer.Offered) > 0 {
		offered = strings.Join(offer.Offered, ", ")
	}
	refused := func(message, advice string) ruling {
		return ruling{crm.Refused, crm.OrgScope, 0, fmt.Sprintf(message, offered), advice}
	}
	const directory = "Exchange's own settings are those of Get-WebServicesVirtualDirectory | Format-List Server,*Authentication*."
	switch {
	case errors.Is(err, ErrDowngrade):
		return "logon-downgrade", refused("The server took NTLM before and now offers %s alone. The password itself is not sent to it: somebody may stand in between.",
			"Find out who answers for the server. If the change is meant, choose the scheme in the Email settings, or save them again. "+directory)
	case errors.Is(err, ErrCertificateRefused):
		return "certificate-refused", refused("The server does not take the client certificate for a log-on; it offers %s.",
			"Map the certificate to the account in Active Directory, and have IIS ask for client certificates at the EWS virtual directory.")
	case offer.Pinned != AnyScheme:
		return "scheme-not-offered", refused(fmt.Sprintf("The settings ask for %s, and the server offers %%s to log on. Nothing was sent to it but the question.", offer.Pinned),
			"Enable it at the server, or choose a scheme that it offers in the Email settings. "+directory)
	}
	return "no-logon-scheme", refused("The server offers neither NTLM nor, over TLS, Basic to log on; it offers %s.",
		"Enable Basic or Windows authentication for the EWS virtual directory: Set-WebServicesVirtualDirectory. "+directory)
}

func isTicket(err error) bool {
	_, ok := errors.AsType[*TicketError](err)
	return ok
}

// ticketless judges refusals of the Kerberos servers that are not about the account.
//
// https://www.rfc-editor.org/rfc/rfc4120#section-7.5.9
func (j judge) ticketless(err error) (string, ruling) {
	const serviceUnknown, skew = 7, 37
	switch e, _ := errors.AsType[*TicketError](err); e.Code {
	case serviceUnknown:
		return "kerberos-service-unknown", ruling{crm.Refused, crm.OrgScope, 0, fmt.Sprintf("Kerberos knows no service HTTP/%s.", cmp.Or(j.host, "HOST")),
			fmt.Sprintf("Enter the server under the name that it has in the directory, or register that name: setspn -S HTTP/%s EXCHANGE-ACCOUNT.", cmp.Or(j.host, "HOST"))}
	case skew:
		return "kerberos-clock", ruling{crm.Refused, crm.OrgScope, 0, "The clocks of this machine and of the Kerberos servers are too far apart.", "Set the clocks: more than five minutes are not allowed."}
	default:
		return "kerberos-refused", ruling{crm.Refused, crm.OrgScope, 0, fmt.Sprintf("The Kerberos servers give no ticket (error %d).", e.Code), "Look the number up in the log of the domain controller, event 4768 or 4769."}
	}
}

// http judges an answer that is none of Exchange's.
func (j judge) http(e *Error) (string, ruling) {
	if e.Status != http.StatusOK && e.Status != http.StatusInternalServerError {
		return j.byStatus(e)
	}
	switch {
	case e.Status == http.StatusInternalServerError && e.Page:
		return "server-error-page", ruling{crm.Retry, crm.OrgScope, time.Minute, "The web server reports an error in EWS.", askServer}
	case e.Page:
		return "not-exchange-web-page", ruling{crm.Refused, crm.OrgScope, 0, "The address answers with a web page or another service, not with Exchange Web Services.", fixURL}
	case errors.Is(e.Err, errFault):
		return cmp.Or(e.Code, "soap-fault"), ruling{crm.Retry, "", 0, "The server refuses the request without a code of Exchange.", itself}
	case errors.Is(e.Err, io.ErrUnexpectedEOF), errors.Is(e.Err, io.EOF):
		return "torn-answer", ruling{crm.Retry, "", 0, "The answer broke off.", itself}
	case timedOut(e.Err), isNetwork(e.Err):
		return j.network(e.Err)
	}
	return "unreadable-answer", ruling{crm.Retry, "", 0, "The answer is not well-formed or exceeds what is accepted.", itself}
}

// byStatus judges by HTTP's status.
func (j judge) byStatus(e *Error) (string, ruling) {
	switch s := e.Status; {
	case s == 302 && strings.Contains(strings.ToLower(e.Location), "genericerrorpage"):
		return "server-error-page", ruling{crm.Retry, crm.OrgScope, time.Minute, "The server redirects to its error page.", askServer}
	case s >= 300 && s < 400:
		return "logon-page", ruling{crm.Refused, crm.OrgScope, 0, "The server redirects, as to a log-on page; redirects are not followed.", fixURL}
	case s == 400:
		return "bad-request", ruling{crm.Retry, crm.MailboxScope, time.Minute, "The web server does not accept the request.", askServer}
	case s == 403 && !e.Admitted:
		return "ews-blocked", ruling{crm.Refused, crm.MailboxScope, time.Hour, fmt.Sprintf("Exchange closes EWS to this program (User-Agent %q) or to the account %s: by an application access policy, or because EWS is switched off.", e.UserAgent, j.login), blockedRemedy(e.UserAgent)}
	case s == 403:
		return "ews-forbidden", ruling{crm.Refused, crm.MailboxScope, time.Hour, "The server forbids EWS: it is switched off for the organization or the mailbox, or this program is not on the list of those allowed.", "Check Get-OrganizationConfig | Format-List Ews* and Get-CASMailbox ADDRESS | Format-List Ews*; then Set-OrganizationConfig -EwsEnabled:$true, or add this program's User-Agent to the allow list."}
	case s == 404 && e.Known && e.Mailbox != "":
		return "no-mailbox-here", ruling{crm.Refused, crm.MailboxScope, time.Hour, "The server no longer answers for this mailbox.", "Check whether the mailbox was moved to another server; then enter that one, or leave the mailbox out."}
	case s == 404:
		return "no-ews-here", ruling{crm.Refused, crm.OrgScope, 0, "There is no EWS at this address.", fixURL}
	case s == 407:
		return "proxy-logon", ruling{crm.Refused, crm.OrgScope, 0, "A proxy in between asks for a log-on.", "Let this server reach Exchange without a proxy."}
	case s == 413:
		return "request-too-large", ruling{crm.Retry, "", 0, "The request was too large for this server.", itself}
	case s == 421:
		return fmt.Sprintf("http-%d", s), ruling{crm.Retry, "", 0, "The front end of Exchange was restarted.", itself}
	case s == 429:
		return "too-many-requests", ruling{crm.Retry, crm.MailboxScope, 10 * time.Second, "A gateway asks for fewer requests.", itself}
	case s == 440:
		return "owa-not-ews", ruling{crm.Refused, crm.OrgScope, 0, "The address is that of Outlook on the web, not of EWS.", fixURL}
	case s == 449:
		return "activesync-not-ews", ruling{crm.Refused, crm.OrgScope, 0, "The address is that of ActiveSync, not of EWS.", fixURL}
	case s == 456:
		return "account-blocked", ruling{crm.Reauth, crm.OrgScope, 0, "The account is locked or blocked.", "Unlock the account; it is not tried again until its password is entered anew."}
	case s == 502 || s == 504:
		return fmt.Sprintf("http-%d", s), ruling{crm.Retry, "", 10 * time.Second, "A gateway in front of Exchange gave up waiting.", itself}
	case s == 503 && j.version == versionOnline:
		return "service-unavailable", ruling{crm.Retry, crm.MailboxScope, 10 * time.Second, "The Exchange server is not available or overloaded.", itself}
	case s == 503:
		return "service-unavailable", ruling{crm.Retry, crm.OrgScope, 10 * time.Second, "The Exchange server is not available or overloaded.", askServer}
	}
	return fmt.Sprintf("http-%d", e.Status), ruling{crm.Retry, crm.OrgScope, time.Minute, "The web server gave an answer that this program does not know.", askServer}
}

// blockedRemedy is what an Exchange administrator runs to let this program in.
func blockedRemedy(userAgent string) string {
	name, _, _ := strings.Cut(userAgent, "/")
	return fmt.Sprintf("In the Exchange Management Shell look at Get-OrganizationConfig | Format-List Ews*. Where an allow list is enforced: Set-OrganizationConfig -EwsAllowList @{Add=%s}. Where EWS is off for the account alone: Set-CASMailbox ACCOUNT -EwsEnabled:$true.", psQuote(name+"/*"))
}

var timeout = ruling{crm.Retry, "", 0, "The server did not answer in time.", itself}

// network judges what kept an answer from coming.
func (j judge) network(err error) (string, ruling) {
	host := cmp.Or(j.host, "the server")
	refused := func(message, advice string) ruling { return ruling{crm.Refused, crm.OrgScope, 0, message, advice} }
	var dns *net.DNSError
	var name x509.HostnameError
	var authority x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	var record tls.RecordHeaderError
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		return "dns-unknown", refused(fmt.Sprintf("The name %s is not known.", host), "Check the spelling of the server's name.")
	case errors.As(err, &dns):
		return "dns-trouble", ruling{crm.Retry, crm.OrgScope, 0, "The name service does not answer.", itself}
	case errors.Is(err, syscall.ECONNREFUSED):
		return "port-closed", ruling{crm.Retry, crm.OrgScope, time.Minute, fmt.Sprintf("%s refuses the connection: nothing listens there, or a firewall forbids it.", host), "Check the server's name and port, and the firewall in between."}
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "unreachable", ruling{crm.Retry, crm.OrgScope, time.Minute, fmt.Sprintf("There is no way to %s from here.", host), "Check the network and the firewall in between."}
	case errors.As(err, &name):
		return "tls-name-wrong", refused(fmt.Sprintf("The server's certificate is not for the name %s.", host), "Enter the server under a name that is in its certificate.")
	case errors.As(err, &authority):
		return "tls-unknown-authority", refused("The server's certificate is signed by an authority that is not trusted here.", "Enter the certificate of your own authority (PEM) in the Email settings.")
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "tls-expired", refused("The server's certificate has expired or is not valid yet.", "Renew the certificate on the server, and check the clocks of both.")
	case errors.Is(err, errHandshake) && hungUp(err):
		return "tls-hung-up", ruling{crm.Retry, crm.OrgScope, time.Minute, "The server hung up while a secure connection was being made.", "Check that the port speaks TLS, as 443 does; it is tried again by itself."}
	case timedOut(err):
		return "timeout", timeout
	case errors.As(err, &invalid), errors.As(err, &record), isAlert(err), errors.Is(err, errHandshake):
		return "tls-failed", refused("There is no secure connection with this server: it does not speak TLS here, or only outdated versions of it.", "Check the port; the server must speak TLS 1.2 or later.")
	case hungUp(err):
		return "torn-answer", ruling{crm.Retry, "", 0, "The connection broke off.", itself}
	}
	return "network", ruling{crm.Retry, "", 0, "The server could not be reached.", itself}
}

func hungUp(err error) bool {
	return errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) ||
		errors.Is(err, syscall.EPIPE) || errors.Is(err, net.ErrClosed) || errors.Is(err, errHungUp)
}

func isAlert(err error) bool {
	var alert tls.AlertError
	return errors.As(err, &alert)
}

func timedOut(err error) bool {
	var n net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &n) && n.Timeout()
}

func isNetwork(err error) bool {
	var n net.Error
	return errors.As(err, &n)
}
