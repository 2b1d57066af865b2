//! Colours, sizes and type: one accent, two moods.

use egui::{Color32, CornerRadius, FontFamily, FontId, Stroke, Theme, Visuals};

/// Distances in points. Everything is a multiple of four.
pub const GAP: f32 = 12.0;
pub const TOP_BAR: f32 = 48.0;
pub const BOTTOM_BAR: f32 = 76.0;
/// A control's height: a thumb hits it, and with spacing five fit into 640 points.
pub const CONTROL: f32 = 48.0;
pub const CARD_RADIUS: u8 = 16;

/// Type sizes in points.
pub const SMALL: f32 = 12.0;
pub const BODY: f32 = 14.0;
pub const LEAD: f32 = 17.0;
pub const TITLE: f32 = 26.0;

/// The colours of a mood.
#[derive(Clone, Copy, Debug)]
pub struct Palette {
    pub background: Color32,
    /// A tile without a picture, a bar.
    pub tile: Color32,
    pub card: Color32,
    pub control: Color32,
    pub control_hover: Color32,
    pub line: Color32,
    pub text: Color32,
    pub weak: Color32,
    pub accent: Color32,
    pub on_accent: Color32,
    pub danger: Color32,
}

const DARK: Palette = Palette {
    background: Color32::from_rgb(0x0f, 0x11, 0x15),
    tile: Color32::from_rgb(0x1b, 0x1f, 0x26),
    card: Color32::from_rgb(0x1a, 0x1d, 0x24),
    control: Color32::from_rgb(0x2a, 0x2f, 0x39),
    control_hover: Color32::from_rgb(0x37, 0x3e, 0x4b),
    line: Color32::from_rgb(0x31, 0x37, 0x42),
    text: Color32::from_rgb(0xee, 0xf0, 0xf4),
    weak: Color32::from_rgb(0x9d, 0xa6, 0xb4),
    accent: Color32::from_rgb(0x5b, 0x93, 0xff),
    on_accent: Color32::from_rgb(0x08, 0x12, 0x26),
    danger: Color32::from_rgb(0xe8, 0x4b, 0x50),
};

const LIGHT: Palette = Palette {
    background: Color32::from_rgb(0xf3, 0xf4, 0xf7),
    tile: Color32::from_rgb(0xdd, 0xe1, 0xe8),
    card: Color32::from_rgb(0xff, 0xff, 0xff),
    control: Color32::from_rgb(0xe3, 0xe6, 0xec),
    control_hover: Color32::from_rgb(0xd4, 0xd9, 0xe2),
    line: Color32::from_rgb(0xd8, 0xdc, 0xe4),
    text: Color32::from_rgb(0x17, 0x1b, 0x22),
    weak: Color32::from_rgb(0x5a, 0x64, 0x73),
    accent: Color32::from_rgb(0x24, 0x63, 0xe0),
    on_accent: Color32::WHITE,
    danger: Color32::from_rgb(0xcf, 0x2f, 0x36),
};

/// Names and marks over a picture look the same in both moods: the picture does not change with them.
pub const OVER_PICTURE: Color32 = Color32::from_rgba_premultiplied(8, 9, 12, 176);
/// Over a picture that stands still.
pub const STANDS_STILL: Color32 = Color32::from_rgba_premultiplied(0, 0, 0, 140);
pub const ON_PICTURE: Color32 = Color32::from_rgb(0xf4, 0xf6, 0xf9);

pub const fn palette(dark: bool) -> Palette {
    if dark { DARK } else { LIGHT }
}

pub const fn font(size: f32) -> FontId {
    FontId::new(size, FontFamily::Proportional)
}

/// Gives egui's own widgets (the text field, scroll bars, tooltips) the palette.
pub fn install(ctx: &egui::Context) {
    for (theme, dark) in [(Theme::Dark, true), (Theme::Light, false)] {
        let colours = palette(dark);
        let mut visuals = if dark { Visuals::dark() } else { Visuals::light() };
        visuals.panel_fill = Color32::TRANSPARENT;
        visuals.window_fill = colours.card;
        visuals.window_stroke = Stroke::new(1.0, colours.line);
        visuals.window_corner_radius = CornerRadius::same(12);
        visuals.menu_corner_radius = CornerRadius::same(10);
        visuals.override_text_color = Some(colours.text);
        visuals.extreme_bg_color = colours.control;
        visuals.text_edit_bg_color = Some(colours.control);
        visuals.selection.bg_fill = colours.accent.gamma_multiply(0.45);
        visuals.selection.stroke = Stroke::new(1.5, colours.accent);
        visuals.hyperlink_color = colours.accent;
        for widget in [
            &mut visuals.widgets.inactive,
            &mut visuals.widgets.hovered,
            &mut visuals.widgets.active,
            &mut visuals.widgets.open,
            &mut visuals.widgets.noninteractive,
        ] {
            widget.corner_radius = CornerRadius::same(10);
        }
        ctx.set_visuals_of(theme, visuals);
    }
}
