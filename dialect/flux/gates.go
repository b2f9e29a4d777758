package flux

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Flux's feature gates that choose something here.
const (
	externalArtifacts  = "ExternalArtifact"
	additiveReadyExprs = "AdditiveCELDependencyCheck" // dependsOn[].readyExpr beside the usual check, not in its place
	strictVariables    = "StrictPostBuildSubstitutions"
	patientChecks      = "DisableFailFastBehavior"     // what has failed may recover until time is up
	workloadIdentity   = "ObjectLevelWorkloadIdentity" // service accounts that objects name get tokens
)

// A gate is a feature that Flux can be told to have or not to have.
type gate struct {
	usual   bool   // whether it is on if nobody says anything
	instead string // why it chooses nothing here; "" if it does
}

var gates = map[string]gate{
	externalArtifacts:                {},
	additiveReadyExprs:               {},
	strictVariables:                  {usual: true},
	workloadIdentity:                 {},
	patientChecks:                    {},
	"CacheSecretsAndConfigMaps":      {instead: "what is referred to is watched, and no more"},
	"CancelHealthCheckOnNewRevision": {instead: "a new revision always goes first"},
	"DirectSourceFetch":              {instead: "sources are watched"},
	"DisableConfigWatchers":          {instead: "only what is referred to is watched"},
	"DisableStatusPollerCache":       {usual: true, instead: "nothing is polled"},
	"GroupChangeLog":                 {instead: "changes are told together"},
	"MigrateAPIVersion":              {instead: "inventories name kinds without regard to their version"},
}

// on reports whether a feature is wanted.
func (c Config) on(name string) bool {
	if v, said := c.Gates[name]; said {
		return v
	}
	return gates[name].usual
}

// checkGates returns an error if c names a gate that Flux does not have, or has
// a default that needs another gate.
func (c Config) checkGates() error {
	for _, name := range slices.Sorted(maps.Keys(c.Gates)) {
		if _, ok := gates[name]; !ok {
			return fmt.Errorf("unknown feature gate %q: want any of %s", name, strings.Join(slices.Sorted(maps.Keys(gates)), ", "))
		}
	}
	for _, d := range []struct{ flag, account string }{
		{"--default-kubeconfig-service-account", c.KubeconfigAccount}, {"--default-decryption-service-account", c.DecryptionAccount},
	} {
		if d.account != "" && !c.on(workloadIdentity) {
			return fmt.Errorf("%s needs the feature gate %s", d.flag, workloadIdentity)
		}
	}
	return nil
}

// Idle returns the gates that c sets and that choose nothing here, each with
// why.
func (c Config) Idle() map[string]string {
	idle := make(map[string]string)
	for name := range c.Gates {
		if why := gates[name].instead; why != "" {
			idle[name] = why
		}
	}
	return idle
}
