package sim

import "slices"

// A Version names a release of Exchange.
type Version string

const (
	Exchange2007SP1 Version = "Exchange2007_SP1"
	Exchange2010    Version = "Exchange2010"
	Exchange2010SP1 Version = "Exchange2010_SP1"
	Exchange2010SP2 Version = "Exchange2010_SP2"
	Exchange2013    Version = "Exchange2013"
	Exchange2013SP1 Version = "Exchange2013_SP1"
	Exchange2016    Version = "Exchange2016"
	Exchange2019    Version = "Exchange2019"
	ExchangeSE      Version = "ExchangeSE"
)

// A schema is a version of the wire format, by its place in schemas: a request names
// one, and the server refuses those that came after it.
// https://learn.microsoft.com/exchange/client-developer/exchange-web-services/ews-schema-versions-in-exchange
type schema int

const (
	schema2007 schema = iota
	schema2007SP1
	schema2010
	schema2010SP1
	schema2010SP2
	schema2013
	schema2013SP1
	schema2015
	schema2016
)

var schemas = []string{"Exchange2007", "Exchange2007_SP1", "Exchange2010", "Exchange2010_SP1", "Exchange2010_SP2", "Exchange2013", "Exchange2013_SP1", "Exchange2015", "Exchange2016"}

// parseSchema reads the Version attribute of RequestServerVersion.
func parseSchema(name string) (schema, bool) {
	i := slices.Index(schemas, name)
	return schema(i), i >= 0
}

// A server is what a release says of itself and the newest schema that it takes.
type server struct {
	major, minor, build, revision int
	label                         string // the Version attribute of ServerVersionInfo; free text on newer ones
	newest                        schema
}

var servers = map[Version]server{
	Exchange2007SP1: {8, 1, 240, 5, "", schema2007SP1},
	Exchange2010:    {14, 0, 639, 21, "Exchange2010", schema2010},
	Exchange2010SP1: {14, 1, 218, 15, "Exchange2010_SP1", schema2010SP1},
	Exchange2010SP2: {14, 2, 247, 5, "Exchange2010_SP2", schema2010SP2},
	Exchange2013:    {15, 0, 516, 32, "Exchange2013", schema2013},
	Exchange2013SP1: {15, 0, 847, 32, "V2_6", schema2013SP1},
	Exchange2016:    {15, 1, 2507, 39, "V2017_07_11", schema2016},
	Exchange2019:    {15, 2, 1544, 11, "V2017_07_11", schema2016},
	ExchangeSE:      {15, 2, 2562, 17, "V2017_07_11", schema2016},
}
