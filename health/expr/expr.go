// Package expr reads what users say in CEL: how objects are doing, and whether
// one thing may come after another. Expressions come from strangers: what they
// may cost is bounded, in steps and in memory, so that the same expression over
// the same objects always has the same outcome.
package expr

import (
	"fmt"
	"strings"
	"sync"

	"cel.dev/cel-go/cel"

	"github.com/sane-gitops/sane/fault"
)

const (
	maxLength = 16 << 10 // characters of an expression
	maxCost   = 1 << 20  // of one evaluation, in CEL's units; a comparison is about one
)

// A program is an expression that can be evaluated.
type program struct {
	text string
	run  cel.Program
}

// parse reads an expression over names that nobody knows beforehand: the fields
// of an object.
func parse(text string) (program, error) {
	return build(text, func(env *cel.Env) (*cel.Ast, *cel.Issues) { return env.Parse(text) })
}

// compile reads an expression over objects of the given names.
func compile(text string, names ...string) (program, error) {
	return build(text, func(env *cel.Env) (*cel.Ast, *cel.Issues) {
		var vars []cel.EnvOption
		for _, n := range names {
			vars = append(vars, cel.Variable(n, cel.MapType(cel.StringType, cel.DynType)))
		}
		env, err := env.Extend(vars...)
		if err != nil {
			panic("expr: " + err.Error()) // names are ours
		}
		ast, issues := env.Compile(text)
		if issues.Err() == nil && !ast.OutputType().IsAssignableType(cel.BoolType) {
			return nil, nil
		}
		return ast, issues
	})
}

// build makes a program of what read reads. Its error is of the input.
func build(text string, read func(*cel.Env) (*cel.Ast, *cel.Issues)) (program, error) {
	if strings.TrimSpace(text) == "" {
		return program{}, fault.Input(fmt.Errorf("the expression is empty"))
	}
	ast, issues := read(environment())
	if issues.Err() != nil {
		return program{}, invalid(text, first(issues))
	}
	if ast == nil {
		return program{}, invalid(text, "it must be true or false, and is neither")
	}
	run, err := environment().Program(ast, cel.CostTracking(price{}), cel.CostLimit(maxCost))
	if err != nil {
		return program{}, invalid(text, err.Error())
	}
	return program{text, run}, nil
}

// first returns the first issue, in words.
func first(issues *cel.Issues) string {
	for _, e := range issues.Errors() {
		return fmt.Sprintf("line %d, column %d: %s", e.Location.Line(), e.Location.Column()+1, e.Message)
	}
	return issues.Err().Error()
}

func invalid(text, why string) error {
	return fault.Input(fmt.Errorf("expression %q: %s", brief(text), brief(strings.Join(strings.Fields(why), " "))))
}

// brief returns s, or its beginning if it is long.
func brief(s string) string {
	const most = 400
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// holds evaluates the program.
func (p program) holds(vars map[string]any) (bool, error) {
	v, _, err := p.run.Eval(vars)
	if err != nil {
		return false, fmt.Errorf("expression %q: %s", brief(p.text), brief(err.Error()))
	}
	is, ok := v.Value().(bool)
	if !ok {
		return false, fmt.Errorf("expression %q: it is a %s, and neither true nor false", brief(p.text), v.Type().TypeName())
	}
	return is, nil
}

// environment returns what all expressions can use. It takes some milliseconds
// to make and is made when the first expression is read.
var environment = sync.OnceValue(func() *cel.Env {
	opts := []cel.EnvOption{
		cel.HomogeneousAggregateLiterals(),
		cel.EagerlyValidateDeclarations(true),
		cel.DefaultUTCTimeZone(true),
		cel.CrossTypeNumericComparisons(true),
		cel.OptionalTypes(),
		cel.ParserExpressionSizeLimit(maxLength),
	}
	env, err := cel.NewEnv(append(opts, guarded()...)...)
	if err != nil {
		panic("expr: " + err.Error()) // it is made of constants
	}
	return env
})
