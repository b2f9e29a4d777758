package flux

import (
	"cmp"
	"errors"
	"time"

	"github.com/sane-gitops/sane/fault"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/report"
	"github.com/sane-gitops/sane/source"
)

func (f flux) TellFeed(o object.Object, feed source.Feed, was, st source.Status, now time.Time) (object.Object, []report.Event) {
	v := judgeFeed(feed, st)
	if feed.Paused || v == (verdict{}) {
		return o, nil
	}
	d := &draft{o, cmp.Or(feed.Generation, o.Generation()), now}
	d.artifact(f.ArtifactBase, feed.Name, st)
	d.metadata(st)
	d.outcome(v, v.doing())
	d.fetched(v, st)
	d.proven(feed, v, st)
	if v.status == isTrue {
		d.ignores(feed.Ignore)
		d.selected(feed.Generation)
		d.content(feed, st)
	}
	d.verified(feed, v, st)
	if v.over {
		d.name("lastHandledReconcileAt", st.Token)
	}
	return d.Object, feedEvents(newTeller(o, SourceController, now), feed, was, st)
}

const inProgress = "reconciliation in progress"

// doing is what the Reconciling condition says.
func (v verdict) doing() string {
	if v.status == isUnknown {
		return v.message
	}
	return inProgress
}

// judgeFeed returns what st means for the Ready condition.
func judgeFeed(feed source.Feed, st source.Status) verdict {
	switch {
	case st.Err != nil:
		return verdict{isFalse, feedFailure(feed.Name.Kind, st.Err), shorten(st.Err.Error()), hopeless(st.Err), true}
	case st.Busy:
		return verdict{isUnknown, progressing, "building artifact: new upstream revision", false, false}
	case !st.Revision.IsZero():
		return verdict{isTrue, succeeded, stored(st.Revision.Name), false, true}
	}
	return verdict{}
}

func stored(revision string) string { return "stored artifact for revision '" + revision + "'" }

// A kindReason is the reason for an error; for any other one if is is nil.
type kindReason struct {
	is     error
	reason string
}

var feedReasons = []kindReason{
	{source.ErrURL, urlInvalid},
	{source.ErrAuth, authFailed},
	{source.ErrEmpty, emptyRepository},
	{source.ErrStorage, archiveFailed},
	{source.ErrProof, verificationError},
	{source.ErrProof, badVerificationMode},
	{source.ErrProof, badGitObject},
	{source.ErrProof, badTagSignature},
	{source.ErrProof, badCommitSignature},
	{source.ErrInclude, notFound},
	{source.ErrInclude, noArtifact},
	{source.ErrInclude, copyFailed},
}

// otherReasons are those of a kind's own, after feedReasons.
var otherReasons = map[string][]kindReason{
	GitRepository.Name: {{nil, gitFailed}},
	OCIRepository.Name: imageReasons,
	Bucket.Name:        bucketReasons,
}

func feedFailure(kind string, err error) string {
	if reason := reasonIn(err); reason != "" {
		return reason
	}
	if errors.Is(err, source.ErrProof) {
		return proofReason(err)
	}
	if errors.Is(err, source.ErrInclude) {
		return includeReason(err)
	}
	for _, r := range append(feedReasons[:len(feedReasons):len(feedReasons)], otherReasons[kind]...) {
		if r.is == nil || errors.Is(err, r.is) {
			return r.reason
		}
	}
	return fetchFailed
}

// hopeless reports whether only an edit of the object can cure err. What is
// amiss with a repository or a Secret can be cured there.
func hopeless(err error) bool {
	if reasonIn(err) == badVerificationMode {
		return true
	}
	for _, elsewhere := range []error{source.ErrAuth, source.ErrNotFound, source.ErrEmpty, source.ErrContent, source.ErrProof, source.ErrInclude} {
		if errors.Is(err, elsewhere) {
			return false
		}
	}
	return fault.IsInput(err) || errors.Is(err, source.ErrURL)
}

// failures are the conditions that say what a failure has hit.
var failures = []string{fetchFailed, storageFailed, includeUnavailable}

// fetched writes the conditions that make up Ready.
func (d *draft) fetched(v verdict, st source.Status) {
	if name := text(d.Object, "artifact", "revision"); name != "" {
		d.mark(condition{artifactInStorage, isTrue, succeeded, stored(name)})
		if st.Busy {
			d.mark(condition{artifactOutdated, isTrue, "NewRevision", "new upstream revision"})
		}
	}
	failed := fetchFailed
	switch {
	case v.reason == archiveFailed:
		failed = storageFailed
	case errors.Is(st.Err, source.ErrInclude):
		failed = includeUnavailable
	case errors.Is(st.Err, source.ErrProof): // see proven
		failed = ""
	}
	switch v.status {
	case isTrue:
		d.unmark(artifactOutdated, fetchFailed, storageFailed, includeUnavailable)
	case isFalse:
		for _, kind := range failures {
			if kind == failed {
				d.mark(condition{failed, isTrue, v.reason, v.message})
			} else {
				d.unmark(kind)
			}
		}
	}
}

// artifact writes the newest snapshot. If nobody is offered a tarball of it,
// what its digest names is the content of the tree, and its URL is empty: the
// field must be there, and any other value would send others to ask in vain.
func (d *draft) artifact(base string, n source.FeedName, st source.Status) {
	if st.Revision.IsZero() || st.Err != nil {
		return
	}
	a, same, url := st.Artifact, text(d.Object, "artifact", "revision") == st.Revision.Name, ""
	if a.Path != "" && base != "" {
		url = base + a.Path
	}
	if a.Path == "" {
		_, included := d.Get("status", "includedArtifacts")
		if same && !included && len(st.Included) == 0 && text(d.Object, "artifact", "url") == "" { // or else the revision does not say it all
			return
		}
		a.Digest, a.Path = named(n, st.Revision)
	}
	since := stamp(cmp.Or(st.Since, d.now))
	if same {
		since = stamp(d.now)
	}
	if old := text(d.Object, "artifact", "lastUpdateTime"); same && text(d.Object, "artifact", "digest") == string(a.Digest) {
		since = cmp.Or(old, since)
	}
	now := map[string]any{
		"digest":         string(a.Digest),
		"lastUpdateTime": since,
		"path":           a.Path,
		"revision":       st.Revision.Name,
		"url":            url,
	}
	if a.Size > 0 {
		now["size"] = a.Size
	}
	d.set("artifact", now)
}

func (d *draft) ignores(rules *string) {
	if rules == nil {
		d.drop("observedIgnore")
		return
	}
	d.set("observedIgnore", *rules)
}

// here says that a new snapshot is here.
var here = map[string]func(source.Feed, source.Status) string{
	GitRepository.Name: func(_ source.Feed, st source.Status) string {
		return "stored artifact for commit '" + cmp.Or(st.Commit.Subject, st.Revision.Name) + "'"
	},
	OCIRepository.Name: storedImage,
	Bucket.Name:        storedBucket,
}

// feedEvents tells the way from was to st.
func feedEvents(t *teller, feed source.Feed, was, st source.Status) []report.Event {
	prev, v := judgeFeed(feed, was), judgeFeed(feed, st)
	t.at(st.Revision.Name)
	message := here[feed.Name.Kind](feed, st)
	if why := st.Artifact.Mended; why != "" && was.Artifact.Mended == "" {
		t.tell(report.Failed, report.Error, artifactDamaged, "failed to verify integrity of artifact: "+why)
	}
	switch {
	case v.status == isFalse && v != prev:
		t.tell(report.Failed, report.Error, v.reason, v.message)
	case v.status == isTrue && (was.Revision != st.Revision || was.Artifact.Path != "" && was.Artifact != st.Artifact):
		t.about("digest", string(cmp.Or(st.Artifact.Digest, st.Revision.Digest)))
		t.tell(report.Fetched, report.Info, newArtifact, message)
	case v.status == isTrue && prev.status == isFalse:
		t.about("digest", string(cmp.Or(st.Artifact.Digest, st.Revision.Digest)))
		t.tell(report.Recovered, report.Info, succeeded, message)
	}
	return t.events
}
