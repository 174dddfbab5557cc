package report

import (
	"bytes"
	"image/color"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// Chart is a bar chart: a group of bars for each label, a bar in it for each series.
type Chart struct {
	Title  string
	Axis   string // of the values
	Labels []string
	Series []Series
}

// Series is one peer's values, one for each label.
type Series struct {
	Name   string
	Values []float64
}

// palette is part of Okabe and Ito's, which the colour-blind can tell apart.
var palette = []color.Color{
	color.RGBA{0xE6, 0x9F, 0x00, 0xFF}, color.RGBA{0x56, 0xB4, 0xE9, 0xFF}, color.Gray{0x99}, color.RGBA{0x00, 0x72, 0xB2, 0xFF},
	color.RGBA{0x00, 0x9E, 0x73, 0xFF},
}

const (
	chartWidth  = 20 * vg.Centimeter
	chartHeight = 9 * vg.Centimeter
	groupWidth  = 96 // points, of all bars of a label
)

// SVG draws the chart.
func (c Chart) SVG() ([]byte, error) {
	plot.DefaultFont = font.Font{Typeface: "Liberation", Variant: "Sans"}
	p := plot.New()
	p.Title.Text, p.Title.Padding = c.Title, vg.Points(6)
	p.Y.Label.Text, p.Y.Min = c.Axis, 0
	p.Y.Tick.Marker = thousands{}
	p.Legend.Top, p.Legend.Left = true, true
	p.Legend.Padding = vg.Points(2)

	grid := plotter.NewGrid()
	grid.Vertical.Width = 0
	grid.Horizontal.Color = color.Gray{0xDD}
	p.Add(grid)

	width := vg.Points(groupWidth / float64(len(c.Series)))
	for i, s := range c.Series {
		bars, err := plotter.NewBarChart(plotter.Values(s.Values), width)
		if err != nil {
			return nil, err
		}
		bars.LineStyle.Width = 0
		bars.Offset = width * vg.Length(float64(i)-float64(len(c.Series)-1)/2)
		bars.Color = palette[i%len(palette)]
		p.Add(bars)
		p.Legend.Add(s.Name, bars)
	}
	p.NominalX(c.Labels...)

	canvas := vgsvg.New(chartWidth, chartHeight)
	background := draw.New(canvas)
	background.FillPolygon(color.White, background.ClipPolygonXY([]vg.Point{
		{}, {X: chartWidth}, {X: chartWidth, Y: chartHeight}, {Y: chartHeight},
	}))
	p.Draw(draw.Crop(background, vg.Points(6), -vg.Points(10), vg.Points(6), -vg.Points(8)))
	var svg bytes.Buffer
	_, err := canvas.WriteTo(&svg)
	return svg.Bytes(), err
}

// thousands labels an axis with "5k".
type thousands struct{}

func (thousands) Ticks(min, max float64) []plot.Tick {
	ticks := plot.DefaultTicks{}.Ticks(min, max)
	for i := range ticks {
		if ticks[i].Label != "" {
			ticks[i].Label = Count(ticks[i].Value)
		}
	}
	return ticks
}
