-- Gsub of the empty pattern over a long text with long replacements.
-- load: ok
-- call: limit|steps|time
return function() return (("x"):rep(60000):gsub("", ("y"):rep(100))) end
