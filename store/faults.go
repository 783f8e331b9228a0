package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"postern/crm"
)

// DiskFull is the code of a fault that goes away with room on the disk.
const DiskFull = "disk-full"

func diskFull(err error) *crm.Fault {
	return &crm.Fault{
		Verdict: crm.Retry, Scope: crm.OrgScope, Code: DiskFull,
		Message: "The disk with Postern's data is full; nothing more can be saved.",
		Advice:  "Make room on the disk that holds the data folder. Nothing is lost: a running Postern goes on by itself where it stopped.",
		Err:     err,
	}
}

func noRoom(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// fault judges an error of the database where the database itself is in trouble, and
// leaves other errors alone.
func (d *database) fault(err error) error {
	f := &crm.Fault{Scope: crm.OrgScope, Err: err}
	switch {
	case err == nil:
		return nil
	case d.full(err), noRoom(err):
		return diskFull(err)
	case d.damaged(err):
		f.Verdict, f.Code = crm.Refused, "database-damaged"
		f.Message = fmt.Sprintf("The database is damaged: %v.", err)
		f.Advice = "Stop Postern and put back a backup of the data folder; or move the folder away and start anew: the mail is still in Exchange and is collected again."
	case d.unwritable(err):
		f.Verdict, f.Code = crm.Retry, "database-unwritable"
		f.Message = fmt.Sprintf("The database cannot be read or written: %v.", err)
		f.Advice = "Let the account that runs Postern write to the data folder and all files in it, and look whether the disk is well. A running Postern goes on by itself."
	default:
		return err
	}
	return f
}

// folderFault judges an error of a file of the data folder.
func folderFault(dir string, err error) error {
	if err == nil || errors.As(err, new(*crm.Fault)) {
		return err
	}
	if noRoom(err) {
		return diskFull(err)
	}
	why := err
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		why = p.Err
	}
	return &crm.Fault{
		Verdict: crm.Refused, Scope: crm.OrgScope, Code: "data-folder-unusable", Err: err,
		Message: fmt.Sprintf("The data folder %s cannot be used: %v.", dir, why),
		Advice:  "Name a folder that the account that runs Postern may read and write, by --data or POSTERN_DATA.",
	}
}

// mustExist is nil when something has been kept in the data folder before.
func mustExist(o Options) error {
	_, err := os.Stat(databaseFile(o.Dir))
	if o.Postgres != "" || !errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return &crm.Fault{
		Verdict: crm.Refused, Scope: crm.OrgScope, Code: "data-folder-missing", Err: err,
		Message: fmt.Sprintf("There is no Postern data in %s.", o.Dir),
		Advice:  "Name the data folder by --data or POSTERN_DATA; a new one is made by postern serve, by the imports, and by postern settings and postern deployment when they are to change something.",
	}
}

// keyFault is about a key that is not the right one.
func keyFault(code, message string, err error) *crm.Fault {
	return &crm.Fault{Verdict: crm.Refused, Scope: crm.OrgScope, Code: code, Message: message,
		Advice: `Put back the master key from the same time as the database: the file "key" of the data folder, or what POSTERN_MASTER_KEY, POSTERN_MASTER_KEY_FILE or POSTERN_KMS names. Without it nothing that is sealed can be read, the passwords of connections among it.`, Err: err}
}
