//! Icons as lines and shapes: no font has to have them. Drawn on a grid of 24, origin in the middle.

use std::f32::consts::PI;

use egui::{Color32, CornerRadius, Painter, Pos2, Rect, Shape, Stroke, Vec2, pos2, vec2};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Icon {
    Microphone,
    MicrophoneOff,
    Camera,
    CameraOff,
    HangUp,
    Accept,
    Devices,
    Latency,
    People,
    Network,
    File,
}

/// Draws `icon` with its middle at `at`, `size` points large. `behind` is the colour under it, for gaps.
pub fn draw(painter: &Painter, icon: Icon, at: Pos2, size: f32, colour: Color32, behind: Color32) {
    let pen = Pen { painter, at, unit: size / 24.0, colour };
    match icon {
        Icon::Microphone => pen.microphone(),
        Icon::MicrophoneOff => {
            pen.microphone();
            pen.slash(behind);
        }
        Icon::Camera => pen.camera(),
        Icon::CameraOff => {
            pen.camera();
            pen.slash(behind);
        }
        Icon::HangUp => pen.handset(0.0),
        Icon::Accept => pen.handset(-0.75 * PI),
        Icon::Devices => pen.sliders(),
        Icon::Latency => pen.waterfall(),
        Icon::People => pen.people(),
        Icon::Network => pen.globe(),
        Icon::File => pen.sheet(),
    }
}

struct Pen<'a> {
    painter: &'a Painter,
    at: Pos2,
    unit: f32,
    colour: Color32,
}

impl Pen<'_> {
    fn microphone(&self) {
        self.block(-3.6, -10.0, 3.6, 3.5, 3.6);
        let bow = (0..=16).map(|step| Vec2::angled(PI * step as f32 / 16.0) * 7.2 + vec2(0.0, -0.5)).collect();
        self.path(bow, 1.9);
        self.path(vec![vec2(0.0, 6.7), vec2(0.0, 10.2)], 1.9);
    }

    fn camera(&self) {
        self.block(-10.5, -6.8, 4.0, 6.8, 3.0);
        let lens = [(6.0, -2.2), (10.8, -5.6), (10.8, 5.6), (6.0, 2.2)].map(|(x, y)| self.to(vec2(x, y)));
        self.painter.add(Shape::convex_polygon(lens.into(), self.colour, Stroke::NONE));
    }

    fn handset(&self, turn: f32) {
        let spin = egui::emath::Rot2::from_angle(turn);
        let lift = vec2(0.0, 8.6);
        let bow = |from: f32, to: f32, radius: f32| -> Vec<Vec2> {
            (0..=16)
                .map(|step| from + (to - from) * step as f32 / 16.0)
                .map(|degrees| spin * (Vec2::angled(degrees.to_radians()) * radius + lift))
                .collect()
        };
        self.path(bow(-148.0, -32.0, 12.2), 4.4);
        for (from, to) in [(-157.0, -137.0), (-43.0, -23.0)] {
            self.path(bow(from, to, 10.8), 7.0);
        }
    }

    /// With a corner turned down.
    fn sheet(&self) {
        let edge = [
            (2.0, -10.0),
            (-7.0, -10.0),
            (-7.0, 10.0),
            (7.0, 10.0),
            (7.0, -5.0),
            (2.0, -10.0),
            (2.0, -5.0),
            (7.0, -5.0),
        ];
        self.path(edge.map(|(x, y)| vec2(x, y)).into(), 1.9);
    }

    fn sliders(&self) {
        for (y, knob) in [(-6.5, 3.5), (0.0, -4.0), (6.5, 5.0)] {
            self.path(vec![vec2(-9.0, y), vec2(9.0, y)], 1.9);
            self.painter.circle_filled(self.to(vec2(knob, y)), 2.9 * self.unit, self.colour);
        }
    }

    fn people(&self) {
        for (x, y, size) in [(-4.0, -4.2, 3.6), (5.4, -3.0, 2.8)] {
            self.painter.circle_filled(self.to(vec2(x, y)), size * self.unit, self.colour);
            let bow = (0..=12).map(|step| Vec2::angled(PI + PI * step as f32 / 12.0) * (size * 1.6) + vec2(x, 8.6));
            let shoulders: Vec<Pos2> = bow.map(|point| self.to(point)).collect();
            self.painter.add(Shape::convex_polygon(shoulders, self.colour, Stroke::NONE));
        }
    }

    fn globe(&self) {
        let ring = |width: f32| (0..=32).map(|step| Vec2::angled(PI * step as f32 / 16.0) * vec2(width, 9.4)).collect();
        self.path(ring(9.4), 1.8);
        self.path(ring(4.2), 1.6);
        self.path(vec![vec2(-9.4, 0.0), vec2(9.4, 0.0)], 1.6);
    }

    fn waterfall(&self) {
        for (y, from, to) in [(-7.0, -9.0, -1.0), (0.0, -3.0, 5.0), (7.0, 3.0, 9.0)] {
            self.path(vec![vec2(from, y), vec2(to, y)], 3.4);
        }
    }

    fn slash(&self, behind: Color32) {
        let line = |shift: f32, width: f32, colour| {
            let points = [vec2(-9.0 + shift, -9.5), vec2(9.0 + shift, 9.5)].map(|point| self.to(point));
            self.painter.line_segment(points, Stroke::new(width * self.unit, colour));
        };
        line(2.0, 2.4, behind);
        line(0.0, 2.2, self.colour);
    }

    fn block(&self, left: f32, top: f32, right: f32, bottom: f32, radius: f32) {
        let rect = Rect::from_min_max(self.to(vec2(left, top)), self.to(vec2(right, bottom)));
        self.painter.rect_filled(rect, CornerRadius::same((radius * self.unit).round() as u8), self.colour);
    }

    /// A line with round ends.
    fn path(&self, points: Vec<Vec2>, width: f32) {
        let points: Vec<Pos2> = points.into_iter().map(|point| self.to(point)).collect();
        for end in [points.first(), points.last()].into_iter().flatten() {
            self.painter.circle_filled(*end, width * self.unit / 2.0, self.colour);
        }
        self.painter.add(Shape::line(points, Stroke::new(width * self.unit, self.colour)));
    }

    fn to(&self, point: Vec2) -> Pos2 {
        pos2(self.at.x + point.x * self.unit, self.at.y + point.y * self.unit)
    }
}
