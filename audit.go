package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"postern/crm"
	"postern/gate"
	"postern/report"
	"postern/store"
	"postern/tell"
)

type auditCommand struct {
	List     auditList     `cmd:"" default:"withargs" help:"Show the latest entries."`
	Verify   auditVerify   `cmd:"" help:"Prove that every entry is as it was written; exit 1 and name the first that is not."`
	Accept   auditAccept   `cmd:"" help:"After a restore: write down that the last entries are missing, and why. It is told by every proof from then on."`
	Contacts auditContacts `cmd:"" help:"Show or change who is told by mail what widens access."`
	Export   auditExport   `cmd:"" help:"Write all entries, as CSV or as JSON, one entry a line."`
}

// auditFlags say which entries are meant.
type auditFlags struct {
	Actor  string `help:"Who, as the log has it."`
	Action string `help:"What, such as settings.save."`
	Widens bool   `help:"Only what widens access."`
	Quiet  bool   `name:"no-sign-ins" help:"Without sign-ins, failed ones among them, and sign-outs."`
}

func (f *auditFlags) query() store.AuditQuery {
	return store.AuditQuery{Actor: f.Actor, Action: f.Action, Widens: f.Widens, Quiet: f.Quiet}
}

type auditList struct {
	dataFlags
	auditFlags
	Limit int  `help:"How many." default:"50"`
	JSON  bool `help:"Print JSON, one entry a line."`
}

func (l *auditList) Run(c *common) error {
	st, org, err := l.open(c, false)
	if err != nil {
		return err
	}
	defer st.Close()
	q := l.query()
	q.Limit = l.Limit
	list, _, err := org.AuditLog(c.ctx, q)
	if err != nil {
		return err
	}
	if l.JSON {
		return report.WriteAudit(c.out, report.JSON, report.Of(list))
	}
	w := table(c.out)
	fmt.Fprintln(w, "ENTRY\tTIME\tWIDENS\tWHO\tACTION\tSUBJECT\tDETAILS")
	for _, e := range list {
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\t%s\n", e.Seq, clock(e.At), map[bool]string{true: "widens"}[e.Widens], e.Actor, e.Action, e.Subject, strings.ReplaceAll(e.Detail, "\n", "; "))
	}
	return w.Flush()
}

// verdictFlags say what the log is held against, and how the verdict is shown.
type verdictFlags struct {
	Checkpoints []string `help:"Further file of checkpoints to hold the log against, such as what a sink took; the file that POSTERN_AUDIT_SINK names is read by itself." type:"existingfile"`
	JSON        bool     `help:"Print JSON."`
}

func (f *verdictFlags) show(w io.Writer, v crm.AuditVerdict) error {
	if !f.JSON {
		describeVerdict(w, v)
		return nil
	}
	text, err := json.MarshalIndent(report.NewVerdict(v), "", "  ")
	if err == nil {
		_, err = fmt.Fprintf(w, "%s\n", text)
	}
	return err
}

type auditVerify struct {
	dataFlags
	verdictFlags
}

func (v *auditVerify) Run(c *common) error {
	st, org, err := v.open(c, false)
	if err != nil {
		return err
	}
	defer st.Close()
	verdict, err := org.VerifyAudit(c.ctx, slices.Concat(org.SinkFile(), v.Checkpoints)...)
	if err != nil {
		return err
	}
	if err := v.show(c.out, verdict); err != nil {
		return err
	}
	if !verdict.OK() {
		return exitError(1)
	}
	return nil
}

// auditAccept is for who has the data folder alone: no page does it.
type auditAccept struct {
	dataFlags
	verdictFlags
	Reason string `help:"Which copy was put back, and why." required:""`
}

func (a *auditAccept) Run(c *common) error {
	st, org, err := a.open(c, false)
	if err != nil {
		return err
	}
	defer st.Close()
	verdict, err := org.AcceptAuditGap(c.ctx, a.Reason, slices.Concat(org.SinkFile(), a.Checkpoints)...)
	if err != nil {
		return err
	}
	return a.show(c.out, verdict)
}

type auditContacts struct {
	dataFlags
	Add    []string `help:"Mail address of a security contact." placeholder:"ADDRESS"`
	Remove []string `help:"One that is told no more; it is told that." placeholder:"ADDRESS"`
}

func (a *auditContacts) Run(c *common) error {
	st, org, err := a.open(c, false)
	if err != nil {
		return err
	}
	defer st.Close()
	list, err := org.SecurityContacts(c.ctx)
	if err != nil {
		return err
	}
	for _, text := range a.Add {
		address, err := parseAddress(text)
		if err != nil {
			return err
		}
		list = append(list, address)
	}
	for _, text := range a.Remove {
		address, err := parseAddress(text)
		if err != nil {
			return err
		}
		i := slices.Index(list, address)
		if i < 0 {
			return badArgument(fmt.Sprintf("%s is no security contact.", address), "See postern audit contacts for those that are.", nil)
		}
		list = slices.Delete(list, i, i+1)
	}
	if len(a.Add)+len(a.Remove) > 0 {
		if err := org.SaveSecurityContacts(c.ctx, list); err != nil {
			return err
		}
	}
	boxes, err := org.Outboxes(c.ctx)
	if err != nil {
		return err
	}
	if len(boxes) == 0 {
		_, err := fmt.Fprintln(c.out, "No security contact is named: nobody is told by mail what widens access.")
		return err
	}
	w := table(c.out)
	fmt.Fprintln(w, "ADDRESS\tCONTACT\tWAITING\tLAST TOLD\tGIVEN UP\tTROUBLE")
	for _, b := range boxes {
		fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%d\t%s\n", b.Address, map[bool]string{true: "yes", false: "no more"}[b.Contact], b.Waiting, clock(b.Sent), b.GivenUp, b.Trouble)
	}
	return w.Flush()
}

func describeVerdict(w io.Writer, v crm.AuditVerdict) {
	for _, g := range v.Gaps {
		fmt.Fprintf(w, "accepted gap: entries %d..%d, accepted on %s, by %s, because: %s\n", g.From, g.To, clock(g.At), g.By, g.Why)
	}
	if s := v.Sink; s.Address != "" {
		fmt.Fprintf(w, "checkpoints are told to %s: up to entry %d, last %s; %d wait\n", s.Address, s.Told, clock(s.ToldAt), s.Waiting)
		if s.Silent() {
			fmt.Fprintf(w, "  it takes none since %s: %s\n", clock(s.Since), s.Trouble)
		}
	}
	if !v.OK() {
		fmt.Fprintf(w, "first bad entry: %d [%s]\n  %s\n", v.Bad, v.Code, v.Why)
		return
	}
	fmt.Fprintf(w, "%d entries, all as they were written%s\n", v.Entries, butFor(v.Gaps))
	if v.Checkpoint > 0 {
		fmt.Fprintf(w, "entry %d and all before it are covered by a checkpoint signed %s\n", v.Checkpoint, clock(v.Signed))
	}
	if v.Head != "" {
		fmt.Fprintf(w, "hash of the last: %s\n%s", v.Head, v.PublicKey)
	}
}

// butFor says what of a log that is as it was written is missing; each gap was told before.
func butFor(gaps []crm.AuditGap) string {
	switch len(gaps) {
	case 0:
		return ""
	case 1:
		return ", but for the gap above"
	}
	return fmt.Sprintf(", but for the %d gaps above, the first of them entries %d..%d", len(gaps), gaps[0].From, gaps[0].To)
}

type auditExport struct {
	dataFlags
	auditFlags
	Format string `help:"csv or json." enum:"csv,json" default:"csv"`
}

func (e *auditExport) Run(c *common) error {
	st, org, err := e.open(c, false)
	if err != nil {
		return err
	}
	defer st.Close()
	write, err := report.ExportAudit(c.ctx, org, e.Format, e.query())
	if err != nil {
		return err
	}
	return write(c.out)
}

// auditSink is a file to which checkpoints are written besides, best one that another
// machine keeps; "" = none, or a server, which whoever serves tells.
func auditSink() string {
	if sink := os.Getenv("POSTERN_AUDIT_SINK"); !strings.Contains(sink, "://") {
		return sink
	}
	return ""
}

// auditServer is the sink that is told the checkpoints; nil when the environment names none, or
// a file.
func auditServer() (*tell.Sink, error) {
	text := os.Getenv("POSTERN_AUDIT_SINK")
	if !strings.Contains(text, "://") {
		return nil, nil
	}
	s, err := tell.NewSink(text)
	if err != nil {
		return nil, err
	}
	way, err := gate.Machine{}.To(s.Address())
	if err != nil {
		return nil, err
	}
	s.Dial = way.DialContext
	return s, nil
}
