package cast

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math/rand/v2"
	"path"
	"strings"
)

// pdf is one page with the file's name as its title.
func pdf(name string) []byte {
	title := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || strings.ContainsRune(`()\`, r) {
			return ' '
		}
		return r
	}, strings.TrimSuffix(name, path.Ext(name)))
	title = strings.ReplaceAll(title, "-", " ")
	page := fmt.Sprintf("BT /F1 11 Tf 72 770 Td (%s) Tj 0 -60 Td /F1 22 Tf (%s) Tj ET\n", Company, title) +
		"0.11 0.37 0.28 rg 72 760 451 2 re f\n" // a green rule below the company's name
	objects := []string{
		"<< /Type /Catalog /Pages 2 0 R >>",
		"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
		"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>",
		fmt.Sprintf("<< /Length %d >>\nstream\n%sendstream", len(page), page),
		"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
	}
	var b bytes.Buffer
	b.WriteString("%PDF-1.4\n")
	var offsets []int
	for i, object := range objects {
		offsets = append(offsets, b.Len())
		fmt.Fprintf(&b, "%d 0 obj\n%s\nendobj\n", i+1, object)
	}
	xref := b.Len()
	fmt.Fprintf(&b, "xref\n0 %d\n0000000000 65535 f \n", len(objects)+1)
	for _, offset := range offsets {
		fmt.Fprintf(&b, "%010d 00000 n \n", offset)
	}
	fmt.Fprintf(&b, "trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n", len(objects)+1, xref)
	return b.Bytes()
}

// readings is a table of what a meter showed, a line each ten minutes.
func readings(seed uint64) []byte {
	var b bytes.Buffer
	b.WriteString("time,flow_l_min,temperature_c,conductivity_us_cm\r\n")
	r := rand.New(rand.NewPCG(seed, 0))
	flow := 60 + 120*r.Float64()
	for minute := 0; minute < 24*60; minute += 10 {
		flow += r.NormFloat64()
		fmt.Fprintf(&b, "%02d:%02d,%.2f,%.1f,%.0f\r\n", minute/60, minute%60, flow, 8+r.Float64(), 640+10*r.NormFloat64())
	}
	return b.Bytes()
}

const chartWidth, chartHeight = 420, 180

// chart is a picture of such readings: a green line on a light grid.
func chart(seed uint64) []byte {
	paper := color.RGBA{0xfb, 0xfa, 0xf6, 0xff}
	grid := color.RGBA{0xdd, 0xda, 0xd0, 0xff}
	ink := color.RGBA{0x1d, 0x5f, 0x48, 0xff}
	img := image.NewPaletted(image.Rect(0, 0, chartWidth, chartHeight), color.Palette{paper, grid, ink})
	for y := 0; y < chartHeight; y += 30 {
		for x := range chartWidth {
			img.SetColorIndex(x, y, 1)
		}
	}
	r := rand.New(rand.NewPCG(seed, 0))
	level := chartHeight / 2.0
	for x := range chartWidth {
		last := int(level)
		level += 2.2*r.NormFloat64() + (chartHeight/2-level)*0.03
		for y := min(last, int(level)); y <= max(last, int(level))+1; y++ {
			img.SetColorIndex(x, y, 2)
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		panic(err) // writing to memory
	}
	return b.Bytes()
}
