//! The page of plots: every ratio as a point with its spread, left of 1 where this project needs less. A bar at the mark to be reached, where there is one.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::error::BenchError;
use crate::figure::Figure;
use crate::reach;
use crate::table::count;

const WIDTH: i32 = 1500;
/// Two columns of panels.
const COLUMN: i32 = WIDTH / 2;
const ROW: i32 = 15;
const HEAD: i32 = 44;
/// Where a panel's scale begins and ends, within its column.
const SCALE: (i32, i32) = (330, 720);
/// The greatest ratio on the scale; what lies beyond is drawn at its end.
const GREATEST: f64 = 1.5;
const FONT: &str = "sans-serif";

const TEXT: RGBColor = RGBColor(60, 60, 60);
const GRID: RGBColor = RGBColor(220, 220, 220);
const GOOD: RGBColor = RGBColor(27, 120, 85);
const NEAR: RGBColor = RGBColor(200, 140, 20);
const BAD: RGBColor = RGBColor(190, 50, 50);

/// The panels, column by column: parts and their titles.
const PANELS: [&[(&str, &str)]; 2] = [
    &[
        ("strings", "CPU per operation, 1 M keys, 50 connections"),
        ("many", "CPU per operation, 10 M keys, 50 connections"),
        ("values", "CPU per operation, large values"),
        ("connections", "CPU per operation by connections"),
        ("memory", "Resident memory per key or element"),
        ("persistence", "BGSAVE, load, full resync"),
        ("failover", "Failover, to Redis Sentinel"),
    ],
    &[("collections", "CPU per operation, small collections"), ("large", "CPU per operation, large collections")],
];

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

/// The page as SVG.
pub fn page(figures: &[Figure], title: &str) -> Result<String, BenchError> {
    let panels =
        PANELS.map(|column| column.iter().map(|(part, title)| (*title, rows(figures, part))).collect::<Vec<_>>());
    let height = |column: &[(&str, Vec<&Figure>)]| column.iter().map(|(_, rows)| panel_height(rows.len())).sum::<i32>();
    let tallest = panels.iter().map(|column| height(column)).max().unwrap_or(0);
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (WIDTH as u32, (tallest + HEAD + 20) as u32)).into_drawing_area();
        draw(&area, &panels, title).map_err(|error| BenchError::Other(format!("the page of plots: {error}")))?;
    }
    Ok(svg)
}

/// A part's figures that have a ratio.
fn rows<'a>(figures: &'a [Figure], part: &str) -> Vec<&'a Figure> {
    figures.iter().filter(|figure| figure.part == part && figure.ratio.is_some()).collect()
}

fn panel_height(rows: usize) -> i32 {
    if rows == 0 { 0 } else { HEAD + rows as i32 * ROW + 16 }
}

fn draw(
    area: &Area<'_>,
    panels: &[Vec<(&str, Vec<&Figure>)>; 2],
    title: &str,
) -> Result<(), Box<dyn std::error::Error>> {
    area.fill(&WHITE)?;
    area.draw(&Text::new(title.to_owned(), (16, 12), (FONT, 16).into_font().color(&TEXT)))?;
    for (column, panels) in (0..).zip(panels) {
        let (left, mut top) = (column * COLUMN, HEAD);
        for (title, rows) in panels {
            if !rows.is_empty() {
                panel(area, (left, top), title, rows)?;
            }
            top += panel_height(rows.len());
        }
    }
    area.present()?;
    Ok(())
}

fn panel(
    area: &Area<'_>,
    (left, top): (i32, i32),
    title: &str,
    rows: &[&Figure],
) -> Result<(), Box<dyn std::error::Error>> {
    let x = |ratio: f64| {
        let share = (ratio / GREATEST).clamp(0.0, 1.0);
        left + SCALE.0 + (f64::from(SCALE.1 - SCALE.0) * share) as i32
    };
    let bottom = top + HEAD + rows.len() as i32 * ROW;
    area.draw(&Text::new(title.to_owned(), (left + 16, top + 2), (FONT, 14).into_font().color(&BLACK)))?;
    for tenths in [0, 3, 6, 9, 10, 12, 15] {
        let ratio = f64::from(tenths) / 10.0;
        let line = if tenths == 10 { TEXT } else { GRID };
        area.draw(&PathElement::new(vec![(x(ratio), top + HEAD - 8), (x(ratio), bottom)], line))?;
        let style = (FONT, 11).into_font().color(&TEXT).pos(Pos::new(HPos::Center, VPos::Bottom));
        area.draw(&Text::new(format!("{ratio}"), (x(ratio), top + HEAD - 10), style))?;
    }
    for (row, figure) in (0..).zip(rows) {
        let Some(ratio) = figure.ratio else { continue };
        let y = top + HEAD + row * ROW + ROW / 2;
        let mark = reach::ratio_mark(figure);
        let colour = match mark {
            Some(mark) if ratio.median > mark => {
                if ratio.median > 1.0 {
                    BAD
                } else {
                    NEAR
                }
            }
            None if ratio.median > 1.0 => BAD,
            _ => GOOD,
        };
        let style = (FONT, 11).into_font().color(&TEXT).pos(Pos::new(HPos::Right, VPos::Center));
        area.draw(&Text::new(label(figure), (left + SCALE.0 - 8, y), style))?;
        if let Some(mark) = mark {
            area.draw(&PathElement::new(vec![(x(mark), y - 6), (x(mark), y + 6)], BLACK.stroke_width(2)))?;
        }
        area.draw(&PathElement::new(vec![(x(ratio.min), y), (x(ratio.max), y)], colour.stroke_width(2)))?;
        area.draw(&Circle::new((x(ratio.median), y), 4, colour.filled()))?;
    }
    Ok(())
}

/// A figure's name with the settings that set it apart.
fn label(figure: &Figure) -> String {
    let settings = figure.settings.iter().filter_map(|(name, value)| match (figure.part.as_str(), name.as_str()) {
        ("strings" | "many", "value") => Some(format!("{value} B")),
        ("values", "value") => Some(format!("{} KiB", value / 1024)),
        ("strings" | "many" | "values" | "connections" | "collections" | "large", "pipeline") => {
            Some(format!("P{value}"))
        }
        ("connections", "connections") => Some(format!("{} conn.", count(*value))),
        _ => None,
    });
    let settings: Vec<String> = settings.collect();
    if settings.is_empty() { figure.name.clone() } else { format!("{} · {}", figure.name, settings.join(" · ")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figure::Sample;
    use crate::server::Kind;

    #[test]
    fn a_page_shows_every_ratio() {
        let mut figure = Figure::new("strings", "GET", "CPU µs", &[("pipeline", 16), ("value", 3)]);
        figure.note(0, Kind::Quorate, Sample::of(0.5));
        figure.note(0, Kind::Valkey, Sample::of(1.0));
        let svg = page(&[figure], "a title").unwrap();
        for text in ["a title", "GET · P16 · 3 B", "CPU per operation, 1 M keys", "<circle"] {
            assert!(svg.contains(text), "{text} is not in {svg}");
        }
        assert!(!svg.contains("Failover"), "a panel without figures is left out");
    }
}
