-- Move over 2^40 elements that are not there.
-- load: ok
-- call: steps|time
return function() table.move({}, 1, 1 << 40, 2) end
