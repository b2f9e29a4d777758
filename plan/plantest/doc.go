// Package plantest holds what [plan] says of objects against what a real API
// server does with them. It has only tests, which need a server that they may
// fill with anything, named by SANE_TEST_KUBECONFIG:
//
//	bin/devcluster up &
//	SANE_TEST_KUBECONFIG=/path go test ./plan/plantest
//
// SANE_TEST_CASES says how many cases to generate and SANE_TEST_SEED from
// where; SANE_TEST_DUMP names a directory to which samples for plan's own tests
// are written.
package plantest
