package flux

import (
	"encoding/json"
	"time"

	"github.com/fluxcd/pkg/apis/meta"

	"github.com/sane-gitops/sane/digest"
	"github.com/sane-gitops/sane/object"
	"github.com/sane-gitops/sane/source"
)

// firstMade is the annotation by which an OCI image, and with it an artifact,
// says what it was made from.
const firstMade = "org.opencontainers.image.revision"

// artifact returns the feed of a source that somebody else keeps: what its
// status offers. Nothing else about it matters, not even that it is suspended.
func artifact(o object.Object) source.Feed {
	feed := source.Feed{
		Name:       source.FeedName{Kind: o.ID().Kind.Name, Namespace: o.Namespace(), Name: o.Name()},
		Generation: o.Generation(),
		Remote:     source.Remote{Type: "artifact"},
		Every:      30 * time.Second, // while it can't be had
	}
	a, err := offered(o)
	switch {
	case err != nil:
		feed.Err = refusal{artifactFailed, "can't read status.artifact of " + feed.Name.String() + ": " + err.Error(), nil}
	case a == nil:
		feed.Err = refusal{artifactFailed, "Source artifact not found, waiting for " + feed.Name.String() + " to have one", source.ErrEmpty}
	case a.URL == "" && a.Revision != "" && a.Digest != "":
		feed.Err = refusal{artifactFailed, feed.Name.String() + " has no artifact to be downloaded: whoever keeps it does not serve artifacts, which takes --serve-artifacts", nil}
	case a.URL == "" || a.Revision == "" || a.Digest == "":
		feed.Err = refusal{artifactFailed, "status.artifact of " + feed.Name.String() + " is incomplete: it needs url, revision and digest", nil}
	default:
		feed.Remote.URL = a.URL
		feed.Ref = source.Ref{Name: a.Revision, Digest: digest.Digest(a.Digest)}
		feed.Origin = a.Metadata[firstMade]
	}
	return feed
}

// offered returns the artifact in o's status, or nil if there is none.
func offered(o object.Object) (*meta.Artifact, error) {
	v, ok := o.Get("status", "artifact")
	if !ok || v == nil {
		return nil, nil
	}
	data, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	a := new(meta.Artifact)
	return a, json.Unmarshal(data, a)
}
