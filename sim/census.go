package sim

import (
	"cmp"
	"slices"

	"postern/mail"
)

// A census counts the people met in letters, each address once.
type census struct {
	people  []censusEntry
	index   map[mail.Address]int32
	domains map[string]int // addresses met among To and Cc
}

type censusEntry struct {
	Person
	letters int // in how many it was met
}

// fallbackDomain is the company's when no letter has a single recipient.
const fallbackDomain = "company.example"

// numbers gives each person a number; the same address always gets the same.
func (c *census) numbers(people []Person) []int32 {
	var list []int32
	for _, p := range people {
		if p.Address == "" {
			continue
		}
		n, known := c.index[p.Address]
		if !known {
			n = int32(len(c.people))
			c.index[p.Address] = n
			c.people = append(c.people, censusEntry{Person: p})
		}
		if c.people[n].Name == "" {
			c.people[n].Name = p.Name
		}
		if !slices.Contains(list, n) {
			list = append(list, n)
		}
	}
	return list
}

// count counts one letter.
func (c *census) count(e envelope) {
	seen := map[mail.Address]bool{}
	for address := range e.addresses {
		if !seen[address] {
			seen[address] = true
			c.people[c.index[address]].letters++
		}
	}
	for _, address := range e.toAndCc {
		c.domains[address.Domain()]++
	}
}

// company is the domain met most often among To and Cc; of several, the first by name.
func (c *census) company() string {
	best := fallbackDomain
	for domain, n := range c.domains {
		if n > c.domains[best] || n == c.domains[best] && domain < best {
			best = domain
		}
	}
	return best
}

// sorted lists everybody by address.
func (c *census) sorted() []censusEntry {
	list := slices.Clone(c.people)
	slices.SortFunc(list, func(a, b censusEntry) int { return cmp.Compare(a.Address, b.Address) })
	return list
}

// named turns numbers back into people.
func (c *census) named(numbers []int32) []Person {
	list := make([]Person, len(numbers))
	for i, n := range numbers {
		list[i] = c.people[n].Person
	}
	return list
}
