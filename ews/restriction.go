package ews

// A Condition is a node of a search filter. Element says which:
//
//   - And, Or: All holds the operands; Not: All holds one
//   - IsEqualTo, IsNotEqualTo, IsGreaterThan, IsGreaterThanOrEqualTo, IsLessThan,
//     IsLessThanOrEqualTo: Path against Constant, or against Other
//   - Contains: Path, Constant, Mode and Comparison
//   - Exists: Path
//   - Excludes: Path and Bitmask
//
// https://learn.microsoft.com/en-us/exchange/client-developer/web-service-reference/restriction
type Condition struct {
	Element          string
	All              []Condition
	Path             Path
	Constant         string
	Other            *Path
	Mode, Comparison string // ContainmentMode, ContainmentComparison
	Bitmask          string
}

// condition is a node under its own element name.
func condition(x *codec, v *Condition) { x.named(&v.Element, v, conditionElement) }

func conditionElement(local []byte) string {
	switch name := string(local); name {
	case "And", "Or", "Not", "IsEqualTo", "IsNotEqualTo", "IsGreaterThan", "IsGreaterThanOrEqualTo",
		"IsLessThan", "IsLessThanOrEqualTo", "Contains", "Exists", "Excludes":
		return name
	}
	return ""
}

func (v *Condition) fields(x *codec) {
	switch v.Element {
	case "And", "Or", "Not":
		each(x, &v.All, condition)
	case "Exists":
		v.Path.fields(x)
	case "Excludes":
		v.Path.fields(x)
		x.wrapped("t:Bitmask", true, func(x *codec) { x.attr("Value", &v.Bitmask) })
	case "Contains":
		x.attr("ContainmentMode", &v.Mode)
		x.attr("ContainmentComparison", &v.Comparison)
		v.Path.fields(x)
		v.constant(x)
	default:
		v.Path.fields(x)
		x.wrapped("t:FieldURIOrConstant", true, func(x *codec) {
			switch {
			case x.reading():
				other := Path{}
				before := x.at.took
				if other.fields(x); x.at.took > before {
					v.Other = &other
				}
				v.constant(x)
			case v.Other != nil:
				v.Other.fields(x)
			default:
				v.constant(x)
			}
		})
	}
}

// constant is written even when empty: comparing with nothing is legal.
func (v *Condition) constant(x *codec) {
	x.wrapped("t:Constant", true, func(x *codec) {
		if x.reading() || v.Constant != "" {
			x.attr("Value", &v.Constant)
			return
		}
		x.attrs("Value", "")
	})
}

// restriction is an element around one condition.
func (x *codec) restriction(name string, v **Condition) {
	if !x.reading() {
		if *v != nil {
			x.wrapped(name, true, func(x *codec) { condition(x, *v) })
		}
		return
	}
	if x.child(name) {
		*v = new(Condition)
		x.wrapped(name, true, func(x *codec) { condition(x, *v) })
	}
}

// An Order sorts a list by a property.
//
// https://learn.microsoft.com/en-us/exchange/client-developer/web-service-reference/fieldorder
type Order struct {
	Direction string // Ascending or Descending
	Path      Path
}

func (v *Order) fields(x *codec) {
	x.attr("Order", &v.Direction)
	v.Path.fields(x)
}
