// Package sane is a GitOps controller for Kubernetes: it keeps clusters as Git
// says, and speaks Flux's custom resources.
//
// There is no code here. This is the tour of the program, from the bottom up; a
// package imports only packages that come before it, and internal/archtest holds
// them to that. What the program does is one sentence, and the directories are
// its words:
//
//	source → render → plan → apply → observe → report
//
// # Words
//
// Package digest names content by its SHA-256. Package fault tells errors that
// need a person, and wait for a new revision or an edit, from errors that need
// time, and are tried again later and later. Package delay waits, unless nobody
// wants to wait any more. Package lazy compiles what most runs don't need when
// it is needed. Package object names and holds Kubernetes objects: a Kind, an
// ID, an Object, which is a value that nobody changes in place.
//
// # Values
//
// Package trace records every read of a tree, that of a missing file included,
// and of facts beside it.
// A Log holds for another tree if all its reads would come out the same; for
// Git trees that is a comparison of object ids.
//
// Package source names things that can move, a [source.Ref] such as a branch,
// things that can't, a [source.Revision], and the tree at one, a
// [source.Snapshot]. A [source.Historian] knows what led to a revision. A
// [source.Feed] is a source that is kept fresh. Its Shape is how it wants its tree:
// Compose mounts parts of trees in each other, and Filter leaves out what Flux's
// ignore rules leave out; neither copies anything. Package source/unpack, on which
// several adapters stand, keeps the content of archives on disk, once for all who
// use it, and reads it as trees.
//
// Package inventory is the set of objects that a unit has made. Package health
// judges an object by what it says of itself; health/expr does so by
// expressions of its users.
//
// Package render turns trees into objects. A [render.Keeper] keeps what a
// renderer made, on disk and with its log, until a read would differ. Beside a
// tree and a recipe a renderer may ask for [render.Facts], such as the value of
// a variable. What was made with a secret one lies sealed on disk, and is noted
// as secret, so that no error and no plan shows it. Package plan decides what is
// to be done: [plan.Make] takes what is wanted, what is owned and what is known
// of the cluster, and returns stages of steps; it does no I/O. Beside it are the
// rules by which objects are compared, taken over from other field managers, and
// freed of what others left in them.
//
// Package unit is one thing to be kept as Git says, which is what a
// Kustomization asks for, and its Status: how far it got, and why no further.
// Package cluster says what is needed of a cluster: get, list, watch, apply,
// create, patch, delete, the logs of pods. Package report says what an event is,
// and who is told.
//
// # Verbs
//
// Package apply carries out the steps of a stage, or lets the server try them,
// several at a time, and yields the outcome of each. Package observe watches
// what was applied, one watch for each kind, or for each namespace where more is
// forbidden. Of an object it keeps a Sighting:
// its health, by everybody's rules and by the judges who have an interest in it,
// and a digest of what managedFields says is ours, which changes if anybody
// touches a field of ours. Cause finds out why a workload is not healthy.
//
// Package diff says how two states of an object differ, and who owns what differs,
// without giving away what is secret.
//
// Package dialect says what it takes to speak another system's language:
// custom resources in, feeds and units out; their statuses back, and events. It
// does no I/O.
//
// # Adapters
//
// Each meets the outside in one way, and none knows another.
//
//   - source/git fetches into one bare mirror for each repository, by the git
//     program, and reads trees by object id; everybody reads what the server has
//     let them have. It verifies signatures, puts submodules in their place, logs
//     in as a GitHub App, and has ssh go by proxies. What led to a commit it
//     fetches when somebody asks (log.go).
//   - source/oci pulls images from registries, and has them prove who signed
//     them; source/bucket has the objects in buckets, S3's, Azure's and Google's.
//     What they have in common is in source/shared, which asks once for many, and
//     source/web.
//   - source/artifact has the tarballs in which others hand out what they keep,
//     as Flux's source-controller does, and hands out tarballs of what we keep.
//   - render/plain renders directories of manifests, render/kustomize those
//     with a kustomization file, and render/worker has that done by other
//     processes of this program, within bounds of time and memory. There,
//     render/sops decrypts what those two read and make, and render/substitute
//     puts values for the names of variables in it. Some keys never leave Vault
//     or a cloud, which is asked then; package cloud proves to clouds who asks, and
//     remembers what they let in by until that is about to end.
//     Who asks is a fact, and what lets them in is none: it comes by an escort.
//   - cluster/kube is a cluster behind an API server; cluster/memory is one
//     that answers as an API server does, for tests. Both pass
//     cluster/clustertest, as sources pass source/sourcetest and renderers
//     render/rendertest.
//   - dialect/flux speaks GitRepository, OCIRepository, Bucket and Kustomization.
//   - report/event writes Kubernetes events, report/webhook posts them, and
//     report/journal remembers them in a SQLite file, which nothing depends on but
//     who reads it.
//   - commit puts paths of a repository back to what they were, in a commit that it
//     makes without a work tree, signs as the user has it set up, and pushes without
//     losing anybody else's.
//   - install holds what a cluster needs before the program can run in it.
//   - internal/gitserver serves repositories, for tests, the demo and the
//     benchmark; internal/ociserver and internal/s3server serve images and
//     buckets; internal/browser looks at pages for tests.
//
// # Engine
//
// Package engine keeps units as they should be. It knows the verbs and the
// interfaces, and no adapter. Two queues hand out feeds and units, the most
// urgent first and each to one worker at a time. This is the life of a push:
//
//   - A GitRepository's interval has passed, or somebody has annotated it with
//     requestedAt. Its feed is handed out: the source says what the branch
//     means now and, if that is new, fetches the tree. (feed.go)
//   - All units of that feed are queued, first those that have read something
//     that is different now, and all feeds that include a part of it.
//   - A unit is handed out and brought as far as it can be brought (bring.go).
//     Admit: is its source there, are the units before it ready at this
//     revision, or as an expression has it (terms.go)? If not, it leaves the
//     worker, and is queued again when that changes.
//   - Render: most units get the result that was kept. If that is the same as
//     before, and no object has changed since it was made (ledger.go), which is
//     known without a request, the unit is done but for its new revision.
//   - Plan: what is wanted, but for the fields that are left to others
//     (leave.go), is held against what was made and what is seen. The server
//     tries all changes before the first is made.
//   - Apply: the inventory is written first, what is meant beside what is
//     there; then stage by stage, definitions and namespaces before the rest.
//   - Observe: if the unit waits for health, it leaves the worker until a watch
//     says that something has changed, or its time is up. Before somebody is
//     told that something is not well, its pods are asked why (ailment.go).
//   - Prune: what is not wanted any more is deleted in reverse order, if it is
//     ours.
//   - Its status is written, if it says anything new, by the one function that
//     writes any; events are told; the units that come after it are queued.
//
// An object that somebody else changes takes the same way: the observer's digest
// of it differs, its unit is queued before others, and the plan has one step.
// One that is changed again and again is brought back less and less often
// (fight.go).
//
// What is suspended is left alone. Where its object says until when, the engine
// resumes it then (pause.go).
//
// A source that others keep is a feed too, a foreign one (foreign.go): what its
// object's status offers is fetched, and nothing is written to it. If it can't be
// had, the units that use it say so.
//
// Where only some custom resources are kept, of the units that others keep what
// their objects say is known (others.go), and one that gets other labels is handed
// over.
//
// Engine.Plan is the same without effect, for `sane plan`.
//
// # Questions
//
// Package ask answers what people ask of a cluster, by their own rights: why a thing
// is as it is, where it comes from, what a unit wants, what it would change, and where
// its files are put back to what they were; what led to a source's revision (log.go),
// and whether a cluster is fit for the program (check.go). Of a unit that is kept in
// another cluster it asks there (away.go).
// Package web/draw lays trees of objects out for the eye.
//
// # Programs
//
// Package web is the pages: what a browser shows, as whoever looks may see it. It
// keeps a register of rows while somebody looks (register.go), lets in who has a
// right to be there (viewer.go, login.go) and asks package ask for all else. Each
// page has a file of its own, and a template of that name.
//
// Package cli is the command line: get, plan, why, tree, history, diff, trace, events,
// logs, export, check, reconcile, suspend, resume, rollback, and run, which is the
// controller with its metrics, probes and lease. demo*.go is `sane demo`, with its
// sample repository in cli/demo. Package bench measures a controller, this one or
// another. cmd/sane is the only package that knows all of them, and wires them
// together.
//
// Package devcluster, a module of its own, is a Kubernetes control plane in one
// binary. The tests in scenario play with it and with the real program; those
// in plan/plantest hold the rules of package plan against its API server.
package sane
