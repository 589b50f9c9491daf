package jinja

// expr is a node of an expression.
type expr interface{ eval(s *state) value }

// stmt is a node of the template's body.
type stmt interface{ exec(s *state) flow }

// flow is where execution goes on after a statement.
type flow uint8

const (
	next flow = iota
	breakLoop
	continueLoop
)

type (
	constant struct{ v value }
	name     struct {
		id  string
		ref // set by the resolver
	}
	tupleExpr struct{ items []expr }
	listExpr  struct{ items []expr }
	dictExpr  struct{ keys, values []expr }
	unary     struct {
		op byte // + - or ! for not
		x  expr
	}
	binary struct {
		op          byte // + - * / % and D for //, P for **
		left, right expr
	}
	logical struct {
		or          bool
		left, right expr
	}
	compare struct {
		first expr
		ops   []string
		rest  []expr
	}
	concat      struct{ parts []expr }
	conditional struct {
		test, then, otherwise expr // otherwise may be nil
		line                  int
	}
	getattr struct {
		x    expr
		attr string
	}
	getitem   struct{ x, index expr }
	sliceExpr struct{ x, start, stop, step expr }
	call      struct {
		f    expr
		args callArgs
		line int
	}
	filterExpr struct {
		x    expr // nil: the captured text of a block
		name string
		f    filter
		args callArgs
		line int
	}
	testExpr struct {
		x    expr
		name string
		f    test
		args callArgs
		line int
	}
)

// callArgs are the arguments of a call as written.
type callArgs struct {
	pos              []expr
	names            []string
	named            []expr
	spread, keywords expr // *args and **kwargs
}

// target is what an assignment writes: a name, an attribute of a namespace, or several.
type target struct {
	id    string
	attr  string // of a namespace
	items []*target
	tuple bool
	ref
}

type (
	data   struct{ text string }
	output struct {
		x     expr
		names []*name
		line  int
	}
	ifStmt struct {
		tests  []expr
		lines  []int
		bodies [][]stmt
		names  [][]*name // of each test
		orElse []stmt
	}
	forStmt struct {
		target, testTarget      *target
		iter                    expr
		test                    expr
		body, orElse            []stmt
		recursive, usesLoop     bool
		loop                    ref
		iterNames, testNames    []*name
		scope, testScope, else_ *scope
		function                *function // of a recursive loop
		line                    int
	}
	setStmt struct {
		target *target
		x      expr
		names  []*name
		line   int
	}
	setBlock struct {
		target *target
		filter expr // may be nil
		names  []*name
		body   []stmt
		scope  *scope
		line   int
	}
	withStmt struct {
		targets []*target
		values  []expr
		names   []*name
		body    []stmt
		scope   *scope
		line    int
	}
	filterBlock struct {
		filter expr
		names  []*name
		body   []stmt
		scope  *scope
		line   int
	}
	scoped struct { // autoescape false
		body  []stmt
		scope *scope
	}
	macroStmt struct {
		macro  *macroDef
		target *target
		line   int
	}
	callBlock struct {
		macro      *macroDef
		call       *call // nil: a generation block
		names      []*name
		generation bool
		line       int
	}
	jump        struct{ to flow }
	unavailable struct { // a statement that fails once it is reached
		message string
		line    int
	}
)

// macroDef is the definition of a macro, or of the body that a call block hands over.
type macroDef struct {
	name                                string
	params                              []*target
	defaults                            []expr // of the last of params
	defaultNames                        []*name
	body                                []stmt
	usesCaller, usesKwargs, usesVarargs bool
	caller, kwargs, varargs             ref
	function                            *function
	scope                               *scope
}
