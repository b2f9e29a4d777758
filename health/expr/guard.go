package expr

import (
	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/functions"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"cel.dev/cel-go/ext"

	"github.com/sane-gitops/sane/lazy"
)

// CEL's own operators say what they cost. Its extensions for strings, sets and
// encodings do not, and some of them make much of little: so each is asked for
// its price before it is called.

// maxEffort is the most that one call of an extension may take.
const maxEffort = 1 << 22

// extensions returns the functions of CEL's extensions by their names.
var extensions = []cel.EnvOption{ext.Strings(), ext.Sets(), ext.Encoders()}

// guarded returns CEL's extensions, each function of which refuses what would
// take too much.
func guarded() []cel.EnvOption {
	plain, err := cel.NewEnv()
	if err != nil {
		panic("expr: " + err.Error())
	}
	full, err := cel.NewEnv(extensions...)
	if err != nil {
		panic("expr: " + err.Error())
	}
	var opts []cel.EnvOption
	for name, f := range full.Functions() {
		if _, ok := plain.Functions()[name]; ok {
			continue
		}
		bound, err := f.Bindings()
		if err != nil {
			panic("expr: " + err.Error())
		}
		var overloads []cel.FunctionOpt
		for _, o := range f.OverloadDecls() {
			declare := cel.Overload
			if o.IsMemberFunction() {
				declare = cel.MemberOverload
			}
			overloads = append(overloads, declare(o.ID(), o.ArgTypes(), o.ResultType(), cel.FunctionBinding(guard(name, named(bound, o.ID())))))
		}
		opts = append(opts, cel.Function(name, overloads...))
		priced[name] = effort
	}
	return opts
}

// named returns the implementation of an overload.
func named(bound []*functions.Overload, id string) functions.FunctionOp {
	for _, b := range bound {
		if b.Operator != id {
			continue
		}
		switch {
		case b.Unary != nil:
			return func(args ...ref.Val) ref.Val { return b.Unary(args[0]) }
		case b.Binary != nil:
			return func(args ...ref.Val) ref.Val { return b.Binary(args[0], args[1]) }
		case b.Function != nil:
			return b.Function
		}
	}
	panic("expr: nothing implements " + id)
}

// guard returns f for arguments with which it does not take too much.
func guard(name string, f functions.FunctionOp) functions.FunctionOp {
	return func(args ...ref.Val) ref.Val {
		if effort(args) > maxEffort || name == "format" && wide(args[0]) {
			return types.NewErr("%s: too much to do", name)
		}
		return f(args...)
	}
}

var digits = lazy.Compile(`[0-9]{3}`)

// wide reports whether a format asks for a hundred digits or more.
func wide(format ref.Val) bool {
	s, ok := format.(types.String)
	return ok && digits.MatchString(string(s))
}

// effort returns what a function of several arguments may take: no more than
// each with each.
func effort(args []ref.Val) uint64 {
	n := uint64(1)
	for _, a := range args {
		if n *= 1 + size(a, 8); n > maxEffort {
			return n
		}
	}
	return n
}

// length returns what a function that looks at its arguments once may take.
func length(args []ref.Val) uint64 {
	n := uint64(1)
	for _, a := range args {
		n += size(a, 1)
	}
	return n
}

// size returns how big a value is, with what is in it down to a depth.
func size(v ref.Val, depth int) uint64 {
	switch v := v.(type) {
	case types.String:
		return uint64(len(v))
	case types.Bytes:
		return uint64(len(v))
	case traits.Lister:
		n := uint64(0)
		for i := v.Iterator(); depth > 0 && n <= maxEffort && i.HasNext() == types.True; {
			n += 1 + size(i.Next(), depth-1)
		}
		return n
	case traits.Mapper:
		n := uint64(0)
		for i := v.Iterator(); depth > 0 && n <= maxEffort && i.HasNext() == types.True; {
			key := i.Next()
			n += 1 + size(key, 0) + size(v.Get(key), depth-1)
		}
		return n
	}
	return 1
}

// priced are the functions that CEL takes to cost one, and that cost more.
var priced = map[string]func([]ref.Val) uint64{
	"size": length, "bytes": length, "double": length, "duration": length, "int": length, "string": length,
	"timestamp": length, "uint": length,
}

// A price says what calls cost.
type price struct{}

// CallCost implements interpreter.ActualCostEstimator. nil is for CEL to say.
func (price) CallCost(function, _ string, args []ref.Val, _ ref.Val) *uint64 {
	f, ok := priced[function]
	if !ok {
		return nil
	}
	n := 1 + f(args)/10
	return &n
}
