// Package source turns a name that can move, such as a branch, into a tree
// that cannot.
package source

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"time"

	"github.com/sane-gitops/sane/cloud"
	"github.com/sane-gitops/sane/digest"
)

// A Remote is where content is had from, and what it takes to get in.
type Remote struct {
	Type     string // "git", "oci", "bucket" or "artifact"; later "helm"
	URL      string
	Region   string // of a bucket, where its server wants to know
	API      string // of a bucket's server: "azure" or "gcp"; "" means S3's
	Insecure bool   // speak HTTP without TLS if the server does
	Access   Access
	Proof    *Proof        // what content must prove before it counts; nil means nothing
	Timeout  time.Duration // for each Resolve and each Fetch; 0 means a minute

	Submodules bool // of Git: fetch them too, and theirs
}

// A Proof is a signature that content must bear. What it says is not secret.
type Proof struct {
	Method      string            // "HEAD", "Tag" or "TagAndHEAD" for Git; "cosign" or "notation" for OCI
	Keys        map[string][]byte // public keys and certificates by file name, as a Secret holds them
	Identities  []Identity        // for signatures without keys; any one will do
	TrustedRoot []byte            // of a Sigstore that is not the public one: its trusted_root.json
}

// An Identity is who signed, as a certificate says. Both are regular
// expressions.
type Identity struct{ Issuer, Subject string }

// Access is what a server asks for before it lets us in. The zero Access is
// anonymous. Its values are secret: it prints as nothing.
type Access struct {
	Username, Password string // HTTP basic, or SSH user and passphrase of Identity
	Bearer             string // HTTP bearer token
	CA                 []byte // PEM certificates to trust beside the system's
	Identity           []byte // SSH private key, PEM
	KnownHosts         []byte // SSH host keys, in the format of known_hosts
	Cert, Key          []byte // TLS client certificate and its key, PEM
	Proxy              string // URL of an HTTP or a SOCKS5 proxy, with user and password if it wants them
	Issuer             *Issuer
	Grant              *Grant         // what a cloud has given out; nil means nothing
	App                *App           // who gets in by a token that it asks for; nil means nobody
	Cloud              cloud.Identity // by whose tokens of a cloud; the zero one is nobody's
}

// An Issuer gives out credentials for a while.
type Issuer struct {
	Type     string // "aws" or "ldap"
	Endpoint string // a URL; "" means where the machine that we run on says
	Access   Access // to get in there
}

// An App is a GitHub App. Like an Access it is secret.
type App struct {
	ID           string
	Installation string // the id of where it is installed; "" means to ask by Owner
	Owner        string // the organisation or the user at which it is installed
	Key          []byte // RSA, PEM
	API          string // URL of the server's API; "" means GitHub's own
}

// A Grant is what a cloud has given out for its storage, one of these. Like an
// Access it is secret.
type Grant struct {
	Account    string // the key of one of Google's service accounts, in JSON
	AccountKey string // of an account of Azure's storage
	SAS        string // a signature of Azure's, in the form of a query

	// An application of Azure's.
	Tenant, Client, Secret string
	Certificate            []byte // instead of Secret: PEM or PKCS #12, with its private key
	Password               string // of that
	Chain                  bool   // show all certificates
	Authority              string // URL of where tokens are given out; "" means Microsoft's public cloud
}

// Format implements [fmt.Formatter] and gives nothing away.
func (g Grant) Format(f fmt.State, _ rune) { fmt.Fprint(f, "(credentials)") }

// MarshalJSON gives nothing away.
func (g Grant) MarshalJSON() ([]byte, error) { return []byte(`"(credentials)"`), nil }

// Format implements [fmt.Formatter] and gives nothing away.
func (a App) Format(f fmt.State, _ rune) { fmt.Fprint(f, "(credentials)") }

// MarshalJSON gives nothing away.
func (a App) MarshalJSON() ([]byte, error) { return []byte(`"(credentials)"`), nil }

// String implements [fmt.Stringer] and gives nothing away.
func (a Access) String() string { return "(credentials)" }

// Format implements [fmt.Formatter], so that no verb gives anything away.
func (a Access) Format(f fmt.State, _ rune) { fmt.Fprint(f, a.String()) }

// MarshalJSON gives nothing away.
func (a Access) MarshalJSON() ([]byte, error) { return []byte(`"(credentials)"`), nil }

// A Ref says what to follow at a remote. Where several fields are set, the
// first of Commit, Name, Semver, Tag and Branch counts; Branch beside Commit
// says on which branch the commit is looked for. The zero Ref is Flux's
// default: branch master. Of an image the first of Digest, Semver and Tag
// counts, and the zero Ref is tag latest.
//
// What a Ref means may change from one moment to the next.
type Ref struct {
	Branch string
	Tag    string
	Semver string // a range, such as "1.x || >=2.5.0": the highest tag in it
	Name   string // a whole ref name, "refs/pull/1/head"; "^{}" at its end peels a tag
	Commit string // a whole object id

	// Digest is that of the content, where whoever names it knows it. It
	// counts before all others; Name is what the content is called then.
	Digest digest.Digest

	Filter string // a regular expression: Semver is looked for among tags that match it
	Layer  string // the media type of an image's layer that counts, the first of those; "" means the first
	Copy   bool   // that layer is left as it is: all of it counts, and others are to have its own bytes
	Prefix string // of the keys in a bucket that count
	Ignore string // rules in gitignore's syntax: keys in a bucket that they leave out do not count
}

// A Revision is a name for one state of a Ref that keeps its meaning.
type Revision struct {
	Name   string        // as Flux writes it: "main@sha1:1f0c3d…", "v1@sha1:…", "sha1:…"
	Digest digest.Digest // "sha1:1f0c3d…": the same content has the same digest
}

// IsZero reports whether r names nothing.
func (r Revision) IsZero() bool { return r == Revision{} }

// A Snapshot is the tree at a revision. It never changes, and may be read by
// several goroutines at once.
//
// Tree holds regular files and directories only. It implements fs.StatFS,
// fs.ReadFileFS, fs.ReadDirFS and trace.Answerer.
type Snapshot struct {
	Revision Revision
	Tree     fs.FS
	Commit   Commit
	Proven   string            // the Method by which it was proven; "" if it was not
	Signed   string            // what was proven to be signed, and by whom: "commit '1f0c3d…' with key 'ED25…'"
	Origin   string            // the revision that it was made from, where it says: "main@sha1:…"
	Metadata map[string]string // what the publisher said of it
	Packed   *Packed           // the bytes that others are to have of it; nil means a tarball of Tree
}

// Packed is content as its publisher has packed it.
type Packed struct {
	Digest digest.Digest // sha256
	Size   int64         // in bytes

	// Open asks for the bytes. Who reads them has to check that they are those.
	Open func(ctx context.Context) (io.ReadCloser, error)
}

// A Commit is what history says of a revision. Sources that have none leave
// it zero.
type Commit struct {
	Author  string // "Name <address>"
	Subject string
	When    time.Time
}

// A Source finds revisions and fetches their trees.
//
// A Source must be safe for use by several goroutines at once.
type Source interface {
	// Resolve asks what ref means now. It is called often and must be cheap:
	// it moves names, not content. Calls for the same remote at about the same
	// time share one request.
	Resolve(ctx context.Context, at Remote, ref Ref) (Revision, error)

	// Fetch returns the tree at rev, which came from an earlier Resolve of ref.
	// It fetches nothing that is here, and verifies that the tree is what
	// rev.Digest names.
	Fetch(ctx context.Context, at Remote, ref Ref, rev Revision) (*Snapshot, error)
}

// Why a Source could not do what it was asked. Errors wrap at most one of them.
var (
	ErrURL      = errors.New("invalid URL")            // it can never work
	ErrAuth     = errors.New("access denied")          // by the server, or its host key or certificate is not trusted
	ErrNotFound = errors.New("not found")              // the repository or the ref
	ErrEmpty    = errors.New("repository is empty")    // there is no commit at all
	ErrNetwork  = errors.New("server is unreachable")  // or too slow
	ErrStorage  = errors.New("storage failed")         // our own
	ErrRef      = errors.New("invalid reference")      // such as a range that does not parse
	ErrProof    = errors.New("signature not verified") // none, or by nobody who is trusted
	ErrContent  = errors.New("content is unusable")    // such as an archive that is damaged or too large
)

// A FeedName names a feed. It is the name of the object that asked for it.
type FeedName struct {
	Kind            string // "GitRepository"
	Namespace, Name string
}

// String returns Flux's form: "GitRepository/flux-system/apps".
func (n FeedName) String() string { return n.Kind + "/" + n.Namespace + "/" + n.Name }

// A Feed is a source that is kept fresh.
type Feed struct {
	Name       FeedName
	Generation int64 // of the object that asks for it
	Remote     Remote
	Ref        Ref
	Sparse     []string      // the only directories that are wanted, as [Local] reads them; nil means all
	Include    []Include     // parts of other feeds' trees
	Ignore     *string       // rules in gitignore's syntax; nil means the usual ones
	Every      time.Duration // how often to resolve Ref
	Paused     bool
	Token      string // a new one asks to look now
	Origin     string // what the content was made from, as whoever else keeps it says
	Err        error  // why it can't be followed, as far as the object itself tells; nil if it can
}

// RefText returns the part of the feed's ref that counts, as its owner wrote it.
func (f Feed) RefText() string {
	r := f.Ref
	switch f.Remote.Type {
	case "oci":
		return cmp.Or(string(r.Digest), r.Semver, r.Tag, "latest")
	case "bucket":
		return path.Join(r.Name, r.Prefix)
	}
	return cmp.Or(r.Commit, r.Name, r.Semver, r.Tag, r.Branch, "master")
}

// A Status is what became of a feed.
type Status struct {
	Revision Revision          // of the newest snapshot
	Own      Revision          // of that without what it includes
	Included []Included        // in the order of Feed.Include
	Commit   Commit            //
	Proven   string            // the Method by which that was proven; "" if it was not
	Signed   string            // as of Snapshot
	Origin   string            // likewise
	Metadata map[string]string // likewise
	Since    time.Time         // when that snapshot came
	Err      error             // why the last attempt failed; nil if it did not
	Token    string            // the last token that was heeded
	Busy     bool              // a newer revision is being fetched
	Artifact Artifact          // what others can have of it; zero if nothing is offered
}

// An Artifact is a tarball of a snapshot, for others to have.
type Artifact struct {
	Path   string        // below where artifacts are served: "gitrepository/flux-system/apps/9f86….tar.gz"
	Digest digest.Digest // of the tarball
	Size   int64         // in bytes
	Mended string        // why it has just been made anew, in words; "" if it has not
}
