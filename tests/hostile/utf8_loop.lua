-- Utf8 functions over long texts.
-- load: ok
-- call: steps|time
return function() local s = ("\u{20ac}"):rep(20000) while true do utf8.len(s) utf8.offset(s, -1) end end
