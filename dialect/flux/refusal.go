package flux

import (
	"errors"
	"fmt"

	"github.com/sane-gitops/sane/fault"
)

// Reasons of conditions and events.
const (
	succeeded           = "Succeeded"
	progressing         = "Progressing"
	progressingRetry    = "ProgressingWithRetry"
	accessDenied        = "AccessDenied"
	artifactFailed      = "ArtifactFailed"
	buildFailed         = "BuildFailed"
	deletionHeld        = "DeletionHeld" // ours
	dependencyNotReady  = "DependencyNotReady"
	featureDisabled     = "FeatureGateDisabled"
	healthCanceled      = "HealthCheckCanceled"
	healthFailed        = "HealthCheckFailed"
	invalidCEL          = "InvalidCELExpression"
	invalidPath         = "InvalidPath"
	pruneFailed         = "PruneFailed"
	reconcileFailed     = "ReconciliationFailed"
	reconcileSucceeded  = "ReconciliationSucceeded"
	authFailed          = "AuthenticationFailed"
	archiveFailed       = "ArchiveOperationFailed"
	emptyRepository     = "EmptyGitRepository"
	gitFailed           = "GitOperationFailed"
	pullFailed          = "OCIArtifactPullFailed"
	layerFailed         = "OCIArtifactLayerOperationFailed"
	bucketFailed        = "BucketOperationFailed"
	invalidSTS          = "InvalidSTSConfiguration"
	verificationError   = "VerificationError"
	sourceVerified      = "SourceVerified"
	newArtifact         = "NewArtifact"
	artifactDamaged     = "ArtifactVerificationFailed"
	notFound            = "NotFound"
	noArtifact          = "NoArtifact"
	copyFailed          = "CopyFailure"
	badVerificationMode = "InvalidVerificationMode"
	badGitObject        = "InvalidGitObject"
	badTagSignature     = "InvalidTagSignature"
	badCommitSignature  = "InvalidCommitSignature"
	badProvider         = "InvalidProviderConfiguration"
	urlInvalid          = "URLInvalid"
	artifactOutdated    = "ArtifactOutdated"
	artifactInStorage   = "ArtifactInStorage"
	storageFailed       = "StorageOperationFailed"
	fetchFailed         = "FetchFailed"
	includeUnavailable  = "IncludeUnavailable"
	ready, reconciling  = "Ready", "Reconciling"
	stalled, healthy    = "Stalled", "Healthy"
	isTrue, isFalse     = "True", "False"
	isUnknown           = "Unknown"
	maxMessage          = 20000 // bytes of a condition's message, as in Flux
	maxHistory          = 5
	reconcileInProgress = "Reconciliation in progress"
)

// A refusal is an error with the very words and the reason by which Flux's
// users know it.
type refusal struct {
	reason string // "" is for the phase to tell
	text   string
	is     error // what the error is one of, or nil
}

func (r refusal) Error() string { return r.text }
func (r refusal) Unwrap() error { return r.is }

// refuse returns an error that waits for an edit.
func refuse(reason string, is error, format string, args ...any) error {
	return fault.Input(refusal{reason, fmt.Sprintf(format, args...), is})
}

// reasonIn returns the reason that a refusal in err gives, if it does.
func reasonIn(err error) string {
	var r refusal
	errors.As(err, &r)
	return r.reason
}
