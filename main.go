// Postern is the guarded gate between Microsoft Exchange and a CRM: it reads the
// mailboxes of a company's people, files each message exchanged with a contact once, and
// shows it. This file lists the commands; each lives in a file of its name.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"os/user"
	"runtime/debug"
	"syscall"
	"text/tabwriter"

	"github.com/alecthomas/kong"

	"postern/crm"
	"postern/mail"
	"postern/report"
	"postern/sim"
	"postern/store"
)

type cli struct {
	Demo         demoCommand         `cmd:"" help:"Show Postern on a simulated Exchange with a cast of people, or on your own letters."`
	Serve        serveCommand        `cmd:"" help:"Collect mail and serve the pages."`
	Collect      collectCommand      `cmd:"" help:"Collect mail until caught up, then end."`
	Settings     settingsCommand     `cmd:"" help:"Show or change the Email settings."`
	Policy       policyCommand       `cmd:"" help:"Show or change whose mailboxes may be read and what of them is filed."`
	Contacts     contactsCommand     `cmd:"" help:"Import contacts."`
	Users        usersCommand        `cmd:"" help:"Import users and set passwords."`
	Mailboxes    mailboxesCommand    `cmd:"" help:"Show the state of each mailbox, or have some looked at now."`
	Explain      explainCommand      `cmd:"" help:"Say what became of a message and why."`
	Reconcile    reconcileCommand    `cmd:"" help:"Prove that every item on the server has its decision; exit 1 if anything differs."`
	Audit        auditCommand        `cmd:"" help:"Show the log of what people and settings did, prove that nobody has altered it, or export it."`
	Keys         keysCommand         `cmd:"" help:"Show, change or destroy the keys that seal passwords."`
	Access       accessCommand       `cmd:"" help:"Show or export the log of requests to Exchange, or say how long it is kept."`
	Evidence     evidenceCommand     `cmd:"" help:"Write what holds and what was done, as a page to print."`
	Deployment   deploymentCommand   `cmd:"" help:"Show or change for whom the installation is, and what private addresses may be connected to."`
	Egress       egressCommand       `cmd:"" help:"Show or change the addresses that requests leave from, and print rules for firewalls."`
	Check        checkCommand        `cmd:"" help:"Try the Email settings step by step, and what Exchange must refuse; exit 1 if something is wrong."`
	Autodiscover autodiscoverCommand `cmd:"" help:"Find the server of a mailbox by what its domain publishes."`
	Orgs         orgsCommand         `cmd:"" help:"List the organizations, or add one."`
	Exchange     exchangeCommand     `cmd:"" help:"Print what whoever runs Exchange is to do, or make a link to it."`
	Sim          simCommand          `cmd:"" help:"Run the simulated Exchange alone."`
	Bench        benchCommand        `cmd:"" help:"Measure."`
}

// common is what every command is handed.
type common struct {
	ctx    context.Context
	out    io.Writer
	errOut io.Writer
	log    *slog.Logger
}

// folderFlags name the data folder, for what concerns all its organizations.
type folderFlags struct {
	Data string `help:"Data folder." default:"data" env:"POSTERN_DATA" type:"path"`
}

// open opens the data folder of an installation that is there already.
func (f *folderFlags) open(c *common, exclusive bool) (*store.Store, error) {
	return openStore(c, store.Options{Dir: f.Data, Exclusive: exclusive, MustExist: true})
}

// make opens the data folder, and makes it when it is not there: for the commands with which
// an installation begins. It says so, for who meant another folder.
func (f *folderFlags) make(c *common, exclusive bool) (*store.Store, error) {
	st, err := f.open(c, exclusive)
	if missing, ok := errors.AsType[*crm.Fault](err); !ok || missing.Code != "data-folder-missing" {
		return st, err
	}
	st, err = openStore(c, store.Options{Dir: f.Data, Exclusive: exclusive})
	if err == nil {
		fmt.Fprintf(c.errOut, "A new data folder was made at %s.\n", f.Data)
	}
	return st, err
}

// openStore opens a data folder, with what the environment says of its keys and log.
func openStore(c *common, o store.Options) (*store.Store, error) {
	var err error
	if o.Master, err = master(); err != nil {
		return nil, err
	}
	o.AuditSink = auditSink()
	return store.Open(c.ctx, o)
}

// dataFlags name the data folder and one organization in it.
type dataFlags struct {
	folderFlags
	Org string `help:"Organization, by name; none = the only one there is." env:"POSTERN_ORG"`
}

// open is that of folderFlags, with the organization.
func (d *dataFlags) open(c *common, exclusive bool) (*store.Store, *store.Org, error) {
	st, err := d.folderFlags.open(c, exclusive)
	return d.find(c, st, err)
}

// make is that of folderFlags, with the organization.
func (d *dataFlags) make(c *common, exclusive bool) (*store.Store, *store.Org, error) {
	st, err := d.folderFlags.make(c, exclusive)
	return d.find(c, st, err)
}

// makeTo is make for a command that changes something, and open for one that only shows it.
func (d *dataFlags) makeTo(change bool, c *common) (*store.Store, *store.Org, error) {
	if change {
		return d.make(c, false)
	}
	return d.open(c, false)
}

func (d *dataFlags) find(c *common, st *store.Store, err error) (*store.Store, *store.Org, error) {
	if err != nil {
		return nil, nil, err
	}
	org, err := st.FindOrg(c.ctx, d.Org)
	if err != nil {
		return nil, nil, errors.Join(err, st.Close())
	}
	return st, org, nil
}

// exitError ends the program with a status of its own after everything has been said.
type exitError int

func (e exitError) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

func main() {
	// What an import allocates is short-lived and little of it is kept: to collect garbage
	// half as often costs a few megabytes and saves processor time.
	debug.SetGCPercent(200)
	noCore()
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

func run(args []string, out, errOut io.Writer) int {
	if len(args) == 1 && args[0] == "--version" { // of commands it is a flag of their own, the version of Exchange
		fmt.Fprintln(out, "Postern", report.Version())
		return 0
	}
	var c cli
	parser, err := kong.New(&c, kong.Name("postern"), kong.Description("The guarded gate between Exchange and a CRM. postern --version says which build this is."),
		kong.Vars{"kinds": kindNames(), "chain": crm.DefaultChain},
		kong.Writers(out, errOut), kong.UsageOnError(), kong.Exit(os.Exit))
	if err != nil {
		fmt.Fprintln(errOut, err)
		return 2
	}
	call, err := parser.Parse(args)
	if err != nil {
		fmt.Fprintf(errOut, "postern: %v\nSee postern --help.\n", err)
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx = crm.WithOperator(ctx, operator())
	log := slog.New(slog.NewTextHandler(errOut, &slog.HandlerOptions{Level: slog.LevelWarn}))
	err = call.Run(&common{ctx: ctx, out: out, errOut: errOut, log: log})
	if err == nil {
		return 0
	}
	if code, ok := errors.AsType[exitError](err); ok {
		return int(code)
	}
	explain(errOut, err)
	return 1
}

// operator is who acts, in the audit log: the system's user that runs the command.
func operator() string {
	if u, err := user.Current(); err == nil && u.Username != "" {
		return "command line (" + u.Username + ")"
	}
	return fmt.Sprintf("command line (user %d)", os.Getuid())
}

// explain says what happened, why and what to do.
func explain(w io.Writer, err error) {
	f, isFault := errors.AsType[*crm.Fault](err)
	letters, isLetters := errors.AsType[*sim.LoadError](err)
	held, isHeld := errors.AsType[*store.HeldError](err)
	switch {
	case isFault:
	case isHeld:
		f = held.Fault()
	case isLetters:
		f = &crm.Fault{Code: letters.Code, Message: letters.Path + ": " + letters.Problem, Advice: letters.Advice}
	case errors.Is(err, context.Canceled):
		f = &crm.Fault{Code: "interrupted", Message: "Interrupted.", Advice: "What was collected is saved; the same command goes on where this one ended."}
	default:
		f = &crm.Fault{Code: "unexpected", Message: err.Error()}
	}
	fmt.Fprintf(w, "postern: %s [%s]\n", f.Message, f.Code)
	if f.Advice != "" {
		fmt.Fprintf(w, "  %s\n", f.Advice)
	}
}

// badArgument is the fault of an argument that the parser of the command line lets pass.
func badArgument(message, advice string, err error) error {
	return &crm.Fault{Verdict: crm.Refused, Code: "bad-argument", Message: message, Advice: advice, Err: err}
}

// refuseFields tells of each field that is not right; the fault has the code.
func refuseFields(c *common, code string, wrong []crm.FieldError) error {
	if len(wrong) == 0 {
		return nil
	}
	for _, w := range wrong {
		fmt.Fprintf(c.errOut, "postern: %s: %s [%s]\n", w.Field, w.Message, w.Code)
	}
	return &crm.Fault{Verdict: crm.Refused, Code: code, Message: "Nothing was saved.",
		Advice: "Correct what is named above and give all of it again."}
}

// readArgument reads a file that is named on the command line; - = the standard input.
func readArgument(file string) ([]byte, error) {
	if file == "-" {
		return io.ReadAll(os.Stdin)
	}
	return os.ReadFile(file)
}

// table begins a table whose columns are as wide as they need to be.
func table(w io.Writer) *tabwriter.Writer { return tabwriter.NewWriter(w, 0, 4, 2, ' ', 0) }

// parseAddress reads an address from the command line.
func parseAddress(text string) (mail.Address, error) {
	a, err := mail.ParseAddress(text)
	if err != nil {
		return "", badAddress(text, err)
	}
	return a, nil
}

func badAddress(text string, err error) error {
	return badArgument(fmt.Sprintf("%q is not an e-mail address: %v.", text, err), "Write it as name@company.example.", err)
}
