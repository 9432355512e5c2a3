-- Gsub that multiplies a text.
-- load: ok
-- call: limit|steps
return function() local s = "a" while true do s = s:gsub(".", "%0%0%0%0%0%0%0%0") end end
